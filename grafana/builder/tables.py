"""Tables with one row per source, job or alert, and one query per column. Knows no metric.

Queries are joined on shared labels, so all queries of a table must keep the same identity. A missing value leaves its
cell empty. An empty table would show its headers only, so its last query returns one row that says why it is empty.
"""

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard, units

from grafana.builder import palette
from grafana.builder.panels import LETTERS, SENTINEL, Frame, framed, rows

ROW_LINK: Final = (
    "/d/mms-datasource?${datasource:queryparam}"
    "&var-account=${__data.fields.Account:percentencode}&var-source=${__data.fields.Source:percentencode}"
    "&${__url_time_range}"
)
"""Link to the data source of the row, which needs columns named Account and Source."""

Property = dashboard.DynamicConfigValue
_COLOURED: Final = Property("custom.cellOptions", {"type": "color-text"})

LINKED: Final = Property("links", [{"title": "Open this data source", "url": ROW_LINK}])
"""Links a column to its row. Not for all columns: linked cells are underlined and lose their alignment."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the value of `expr`, or a query's label `label`."""

    name: str
    expr: str = ""
    label: str = ""
    look: tuple[Property, ...] = ()


def text(name: str, label: str, width: int, *look: Property) -> Column:
    """Return a column that shows a label; it takes the space that is left."""
    return Column(name, label=label, look=(Property("custom.minWidth", width), *look))


def number(name: str, expr: str, unit: str, width: int | None = None, *look: Property) -> Column:
    """Return a column that shows a value."""
    return Column(name, expr=expr, look=(Property("unit", unit), *_width(width), *look))


def hidden(expr: str) -> Column:
    """Return a query that adds labels only."""
    return Column("", expr=expr)


def progress(name: str, expr: str, width: int) -> Column:
    """Return a bar from 0 to 1."""
    look = (
        decimals(1),
        Property("min", 0),
        Property("max", 1),
        Property("thresholds", palette.PROGRESS.build()),
        Property("color", {"mode": "thresholds"}),
        Property("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}),
    )
    return number(name, expr, units.PercentUnit, width, *look)


def decimals(digits: int) -> Property:
    """Return a number of decimals."""
    return Property("decimals", digits)


def judged(thresholds: build.ThresholdsConfig) -> tuple[Property, ...]:
    """Colour a number by thresholds."""
    colour = Property("color", {"mode": "thresholds"})
    return (Property("thresholds", thresholds.build()), colour, _COLOURED)


def worded(*mappings: dashboard.ValueMap | dashboard.RangeMap) -> tuple[Property, ...]:
    """Map values to coloured words."""
    return (Property("mappings", list(mappings)), _COLOURED)


def _width(pixels: int | None) -> tuple[Property, ...]:
    return () if pixels is None else (Property("custom.width", pixels),)


def listing(frame: Frame, columns: list[Column], first: str, *, descending: bool, otherwise: str) -> table.Panel:
    """Return a table sorted by column `first`; `otherwise` is its only row."""
    asked = [column for column in columns if column.expr]
    panel = framed(table.Panel(), frame, *(rows(column.expr) for column in asked))
    panel.with_target(rows(otherwise).ref_id(SENTINEL))
    for step in _steps(columns, asked):
        panel.with_transformation(step)
    for column in columns:
        if column.name:
            panel.override_by_name(column.name, _looks(column))
    return (
        panel.unit(units.String)
        .thresholds(palette.NO_JUDGEMENT)
        .sort_by([common.TableSortByFieldState().display_name(first).desc(descending)])
        .show_header(True)
        .footer(common.TableFooterOptions().show(False).reducer([]))
        .cell_height(options.TableCellHeight.SM)
    )


def _looks(column: Column) -> list[Property]:
    """Return a column's properties; its empty cells show "-"."""
    if column.label:
        return [*column.look, Property("noValue", "-")]
    words = [mapping for look in column.look if look.id_val == "mappings" for mapping in _listed(look.value)]
    others = [look for look in column.look if look.id_val != "mappings"]
    return [*others, Property("noValue", "-"), Property("mappings", [*words, palette.EMPTY_CELL])]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _steps(columns: list[Column], asked: list[Column]) -> list[dashboard.DataTransformerConfig]:
    """Join the queries on labels; select, order and name columns."""
    letters = {id(column): letter for letter, column in zip(LETTERS, asked, strict=False)}
    fields = {id(column): column.label or f"Value #{letters[id(column)]}" for column in columns if column.name}
    names = [fields[id(column)] for column in columns if column.name]
    renamed = {fields[id(column)]: column.name for column in columns if column.name}
    order = {name: place for place, name in enumerate(names)}
    organize = {"excludeByName": {}, "indexByName": order, "renameByName": renamed}
    return [
        dashboard.DataTransformerConfig(id_val="merge", options={}),
        dashboard.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": names}}),
        dashboard.DataTransformerConfig(id_val="organize", options=organize),
    ]
