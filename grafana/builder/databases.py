"""Databases of the selected data sources: a row of the data source dashboard."""

from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import units

from grafana.builder import palette, panels, promql, tables
from grafana.builder.page import Row
from grafana.builder.panels import Frame, instant_query
from grafana.builder.promql import equals, source

_DATABASE = f"{promql.SOURCE}, src_db"
"""Identity of a database."""
_KINDS = ("table", "partition")
_OMITTED = source("mms_database_series_omitted")


def _each(figure: str, *matchers: str) -> str:
    return f"max by ({_DATABASE}) ({source(f'mms_database_{figure}', *matchers)})"


def _in_status(status: str) -> str:
    """Return tables and partitions in a status."""
    return " + ".join(_each(f"{kind}s", equals("status", status)) for kind in _KINDS)


def _counted(kind: str) -> str:
    return f"sum by ({_DATABASE}) (max by ({_DATABASE}, status) ({source(f'mms_database_{kind}s')}))"


def _pending(kind: str) -> str:
    return f"clamp_min({_each(f'metadata_{kind}s')} - {_counted(kind)}, 0)"


def _pace(kind: str) -> str:
    """Return completed objects per hour; a removed database has none."""
    done = source(f"mms_database_{kind}s", equals("status", "DONE"))
    return f"(3600 * clamp_min(max by ({_DATABASE}) (deriv({done}[1h])), 0) and max by ({_DATABASE}) ({done}))"


def _listing() -> table.Panel:
    pending = " + ".join(_pending(kind) for kind in _KINDS)
    total = " + ".join((pending, *map(_counted, _KINDS)))
    columns = [
        tables.text("Source", "source", 190),
        tables.text("Database", "src_db", 190),
        tables.progress("Progress", f"({_in_status('DONE')}) / ({total} > 0)", 140),
        tables.number("Remaining", f"{pending} + {_in_status('DOING')}", units.LocaleFormat, 110),
        tables.number("Failed", _in_status("FAILED"), units.LocaleFormat, 90, *tables.judged(palette.ZERO_IS_GOOD)),
        tables.number("Per hour", " + ".join(map(_pace, _KINDS)), units.LocaleFormat, 90, tables.decimals(0)),
        tables.number("Size", _each("size_bytes"), units.BytesIEC, 90),
        tables.number("Rows", _each("rows"), units.Short, 90),
    ]
    frame = Frame(
        "Databases",
        "Databases with the most pending and running tables and partitions first. Per hour: completed tables and "
        "partitions, measured over the previous hour. Size and rows: at the source.",
        20,
        9,
    )
    listed, count = source("mms_database_metadata_tables"), promql.total(_OMITTED)
    otherwise = promql.none_listed(listed, count, "src_db", "No databases", "Not listed: limit")
    return tables.listing(frame, columns, "Remaining", descending=True, otherwise=otherwise)


def _not_listed() -> stat.Panel:
    frame = Frame("Not listed", "Databases beyond `databases.max_per_source`, or with the name of a larger one.", 4, 9)
    beyond = palette.steps(palette.DONE, (1, palette.WARNING))
    return panels.figure(frame, instant_query(promql.total(_OMITTED)), units.LocaleFormat, beyond)


def databases_row() -> Row:
    """Return the table of databases and the number omitted."""
    return Row("Databases", [_listing(), _not_listed()])
