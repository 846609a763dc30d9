"""`sources`: the data sources and how far each is, at the cost of one list an account."""

from collections.abc import Sequence
from typing import Final

from exporter.config import Config
from exporter.console.asking import Part, Target, ask
from exporter.console.columns import ACCOUNT, Column, Field, Found, own
from exporter.console.options import Options
from exporter.console.report import Report
from exporter.console.texts import age, amount, percent, share
from exporter.mms.models import DATA_SOURCE_STATUSES, DataSource
from exporter.mms.progress import partition_total, source_ratio, table_total

Row = Found[DataSource]


def _progress(row: Row) -> float | None:
    return source_ratio(row.thing)


# Without `err_msg`: it quotes what the source answered, which may hold a secret.
FIELDS: Final[Sequence[Field[Row]]] = (
    Field("account", "the account's name in the configuration", lambda row: row.account.name),
    own("id", "the data source's id; it stays when the source is renamed"),
    own("name", "its name"),
    own("type", "HIVE, BIGQUERY, MAXCOMPUTE, ..."),
    own("region", "its region"),
    own("status", f"{', '.join(DATA_SOURCE_STATUSES)}, or new"),
    own("agent_is_online", "whether its agent is online"),
    Field("progress", "which part of its tables and partitions is DONE, 0 to 1", _progress),
    own("db_num", "databases in the inventory"),
    own("table_num", "tables in the inventory"),
    own("tables_doing_num", "tables that are DOING"),
    own("tables_done_num", "tables that are DONE"),
    own("tables_part_done_num", "tables that are PART_DONE"),
    own("tables_failed_num", "tables that are FAILED"),
    own("partition_num", "partitions in the inventory"),
    own("partitions_doing_num", "partitions that are DOING"),
    own("partitions_done_num", "partitions that are DONE"),
    own("partitions_failed_num", "partitions that are FAILED"),
    own("dst_project", "the MaxCompute project that data goes to"),
    own("dst_projects", "all of them"),
    own("networklink", "the link to the source"),
    own("create_time", "when it was made"),
    own("last_update_time", "when its metadata was read last"),
    own("scan_id", "the metadata scan that ran last"),
    own("scan_status", "DOING, DONE, FAILED, or new"),
)


async def sources(config: Config, options: Options, now: float) -> Report[Row]:
    """Return the data sources that `options` mean. Raises: ConfigError."""
    wanted = options.statuses_among(DATA_SOURCE_STATUSES)

    async def read(target: Target) -> Part[DataSource]:
        status = (target.source.status or "").upper()
        return Part((target.source,) if not wanted or status in wanted else ())

    told = await ask(config, options, read)
    return Report(
        fields=FIELDS,
        columns=_columns(now, has_accounts=len(config.accounts) > 1),
        rows=told.found,
        nothing="no data sources",
        troubles=told.troubles,
    )


def _columns(now: float, *, has_accounts: bool) -> list[Column[Row]]:
    return [
        *([ACCOUNT] if has_accounts else []),
        Column("ID", lambda row: str(row.thing.id), "figure"),
        Column("SOURCE", lambda row: row.thing.name or ""),
        Column("TYPE", lambda row: row.thing.type or "", rank=4),
        Column("STATUS", lambda row: row.thing.status or "", "status"),
        Column("AGENT", lambda row: _agent(row.thing), "status"),
        Column("PROGRESS", lambda row: percent(_progress(row)), "bar", _progress),
        Column("FAILED", lambda row: amount(_failed(row.thing)), "figure"),
        Column("DOING", lambda row: amount(_doing(row.thing)), "figure", rank=2),
        Column("TABLES", lambda row: _tables(row.thing), "figure", rank=1),
        Column(
            "PARTITIONS", lambda row: share(row.thing.partitions_done_num, partition_total(row.thing)), "figure", rank=1
        ),
        Column("SYNCED", lambda row: age(row.thing.last_update_time, row.account.time_zone, now), "figure", rank=3),
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
