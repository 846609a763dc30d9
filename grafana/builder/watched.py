"""Tables and partitions under `watch` in the configuration: a row of the data source dashboard."""

from typing import Final

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models import units

from grafana.builder import palette, promql, tables
from grafana.builder.page import Row
from grafana.builder.palette import OTHER, PARTITION_STATES, TABLE_STATES, State
from grafana.builder.panels import Frame
from grafana.builder.promql import source

_PENDING: Final = State("INIT", "Pending", OTHER)


def _listing(kind: str, known: tuple[State, ...], extra: tables.Column) -> table.Panel:
    frame = Frame(
        f"Watched {kind}s",
        f"{kind.capitalize()}s listed under `watch` in the configuration of the exporter.",
        24,
        5,
    )
    identity = f"{promql.SOURCE}, {kind}_id, src_db, table" + (", partition" if kind == "partition" else "")

    def each(figure: str) -> str:
        return f"max by ({identity}) ({source(f'mms_{kind}_{figure}')})"

    where = [
        tables.text("Source", "source", 190),
        tables.text("Database", "src_db", 150),
        tables.text("Table", "table", 190),
    ]
    state = tables.number(
        "Status",
        promql.coded(f"mms_{kind}_status", known, labels=identity),
        units.NoUnit,
        90,
        *tables.worded(palette.states(known)),
    )
    columns = [
        *where,
        extra,
        state,
        tables.number("Size", each("size_bytes"), units.BytesIEC, 90),
        tables.number("Rows", each("rows"), units.Short, 90),
        tables.number("Changed", promql.moment(each("last_ddl_timestamp_seconds")), units.DateTimeFromNow, 120),
    ]
    sources = source("mms_datasource_info")
    otherwise = promql.otherwise(source(f"mms_{kind}_status"), sources, "table", f"No watched {kind}s")
    return tables.listing(frame, columns, "Table", descending=False, otherwise=otherwise)


def watched_row() -> Row:
    """Return a row with one table of each kind."""
    identity = f"{promql.SOURCE}, table_id, src_db, table"
    done = f"max by ({identity}) ({source('mms_table_partitions', promql.equals('status', 'DONE'))})"
    known = f"max by ({identity}) ({source('mms_table_metadata_partitions')})"
    bar = tables.progress("Partitions done", f"{done} / ({known} > 0)", 140)
    return Row(
        "Watched tables and partitions",
        [
            _listing("table", (_PENDING, *TABLE_STATES), bar),
            _listing("partition", (_PENDING, *PARTITION_STATES), tables.text("Partition", "partition", 140)),
        ],
    )
