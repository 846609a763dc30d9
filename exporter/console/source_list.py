"""`sources`: the data sources and how far each is, at the cost of one list an account."""

from collections.abc import Sequence
from typing import Final

from exporter.config.loading import Config
from exporter.console.columns import ACCOUNT, Field, Found, TableColumn, own
from exporter.console.command_report import CommandReport
from exporter.console.options import Options
from exporter.console.queries import QueryPart, QueryTarget, ask
from exporter.console.text_formats import age, amount, percent, share
from exporter.mms.models import DATA_SOURCE_STATUSES, DataSource
from exporter.mms.progress import partition_total, source_ratio, table_total

Row = Found[DataSource]


def _progress(row: Row) -> float | None:
    return source_ratio(row.thing)


# Without `err_msg`: it quotes what the source answered, which may hold a secret.
FIELDS: Final[Sequence[Field[Row]]] = (
    Field("account", "name of the account in the configuration", lambda row: row.account.name),
    own("id", "ID of the data source; a rename does not change it"),
    own("name", "name of the data source"),
    own("type", "type, such as HIVE, BIGQUERY, MAXCOMPUTE"),
    own("region", "region of the data source"),
    own("status", f"{', '.join(DATA_SOURCE_STATUSES)} or a new value"),
    own("agent_is_online", "whether the agent is online"),
    Field("progress", "share of tables and partitions that are DONE, 0 to 1", _progress),
    own("db_num", "databases found by the last metadata scan"),
    own("table_num", "tables found by the last metadata scan"),
    own("tables_doing_num", "tables in status DOING"),
    own("tables_done_num", "tables in status DONE"),
    own("tables_part_done_num", "tables in status PART_DONE"),
    own("tables_failed_num", "tables in status FAILED"),
    own("partition_num", "partitions found by the last metadata scan"),
    own("partitions_doing_num", "partitions in status DOING"),
    own("partitions_done_num", "partitions in status DONE"),
    own("partitions_failed_num", "partitions in status FAILED"),
    own("dst_project", "destination MaxCompute project"),
    own("dst_projects", "all destination MaxCompute projects"),
    own("networklink", "network link to the data source"),
    own("create_time", "creation time"),
    own("last_update_time", "time of the last metadata scan"),
    own("scan_id", "ID of the last metadata scan"),
    own("scan_status", "status of that scan: DOING, DONE, FAILED or a new value"),
)


async def sources(config: Config, options: Options, now: float) -> CommandReport[Row]:
    """Return the data sources that `options` mean. Raises: ConfigError."""
    wanted = options.statuses_among(DATA_SOURCE_STATUSES)

    async def read(target: QueryTarget) -> QueryPart[DataSource]:
        status = (target.source.status or "").upper()
        return QueryPart((target.source,) if not wanted or status in wanted else ())

    told = await ask(config, options, read)
    return CommandReport(
        fields=FIELDS,
        columns=_columns(now, has_accounts=len(config.accounts) > 1),
        rows=told.found,
        nothing="no data sources",
        troubles=told.troubles,
    )


def _columns(now: float, *, has_accounts: bool) -> list[TableColumn[Row]]:
    return [
        *([ACCOUNT] if has_accounts else []),
        TableColumn("ID", lambda row: str(row.thing.id), "figure"),
        TableColumn("SOURCE", lambda row: row.thing.name or ""),
        TableColumn("TYPE", lambda row: row.thing.type or "", rank=4),
        TableColumn("STATUS", lambda row: row.thing.status or "", "status"),
        TableColumn("AGENT", lambda row: _agent(row.thing), "status"),
        TableColumn("PROGRESS", lambda row: percent(_progress(row)), "bar", _progress),
        TableColumn("FAILED", lambda row: amount(_failed(row.thing)), "figure"),
        TableColumn("DOING", lambda row: amount(_doing(row.thing)), "figure", rank=2),
        TableColumn("TABLES", lambda row: _tables(row.thing), "figure", rank=1),
        TableColumn(
            "PARTITIONS", lambda row: share(row.thing.partitions_done_num, partition_total(row.thing)), "figure", rank=1
        ),
        TableColumn(
            "SYNCED", lambda row: age(row.thing.last_update_time, row.account.time_zone, now), "figure", rank=3
        ),
    ]


def _agent(source: DataSource) -> str:
    return "" if source.agent_is_online is None else "online" if source.agent_is_online else "OFFLINE"


def _failed(source: DataSource) -> int | None:
    return _sum(source.tables_failed_num, source.partitions_failed_num)


def _tables(source: DataSource) -> str:
    return share(source.tables_done_num, table_total(source))


def _partitions(source: DataSource) -> str:
    return share(source.partitions_done_num, partition_total(source))


def _doing(source: DataSource) -> int | None:
    return _sum(source.tables_doing_num, source.partitions_doing_num)


def _sum(*counts: int | None) -> int | None:
    """Return the sum of what is known; None where nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
