"""`sources`: lists the data sources and their progress, with one list call per account."""

from collections.abc import Sequence
from typing import Final

from exporter.clock import Clock
from exporter.config.loading import Config
from exporter.console.output.command_report import (
    SOURCE_FIELDS,
    CommandReport,
    Field,
    Found,
    TableColumn,
    account_columns,
    age,
    percent,
    record_field,
    share,
    sum_of_known,
)
from exporter.console.selection.queries import Options, QueryPart, QueryTarget, query_sources
from exporter.mms.models.progress import partition_counts, progress_ratio, table_counts
from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import DataSourceStatus

Row = Found[DataSource]


def _progress(row: Row) -> float | None:
    return progress_ratio(row.record)


# Without `err_msg`: it quotes what the source answered, which may hold a secret.
FIELDS: Final[Sequence[Field[Row]]] = (
    SOURCE_FIELDS[0],
    record_field("id", "ID of the data source; a rename does not change it"),
    record_field("name", "name of the data source"),
    record_field("type", "type, such as HIVE, BIGQUERY, MAXCOMPUTE"),
    record_field("region", "region of the data source"),
    record_field("status", f"{', '.join(DataSourceStatus)} or a new value"),
    record_field("agent_is_online", "whether the agent is online"),
    Field("progress", "share of tables and partitions that are DONE, 0 to 1", _progress),
    record_field("db_num", "databases found by the last metadata scan"),
    record_field("table_num", "tables found by the last metadata scan"),
    record_field("tables_doing_num", "tables in status DOING"),
    record_field("tables_done_num", "tables in status DONE"),
    record_field("tables_part_done_num", "tables in status PART_DONE"),
    record_field("tables_failed_num", "tables in status FAILED"),
    record_field("partition_num", "partitions found by the last metadata scan"),
    record_field("partitions_doing_num", "partitions in status DOING"),
    record_field("partitions_done_num", "partitions in status DONE"),
    record_field("partitions_failed_num", "partitions in status FAILED"),
    record_field("dst_project", "destination MaxCompute project"),
    record_field("dst_projects", "all destination MaxCompute projects"),
    record_field("networklink", "network link to the data source"),
    record_field("create_time", "creation time"),
    record_field("last_update_time", "time of the last metadata scan"),
    record_field("scan_id", "ID of the last metadata scan"),
    record_field("scan_status", "status of that scan: DOING, DONE, FAILED or a new value"),
)


async def sources(config: Config, options: Options, clock: Clock) -> CommandReport[Row]:
    """Return the data sources that `options` select. Raises: ConfigError."""
    wanted = options.statuses_among(DataSourceStatus)

    async def read(target: QueryTarget) -> QueryPart[DataSource]:
        status = (target.source.status or "").upper()
        return QueryPart((target.source,) if not wanted or status in wanted else ())

    result = await query_sources(config, options, read)
    return CommandReport(
        fields=FIELDS,
        columns=[*account_columns(config), *_columns(None if options.absolute_times else clock.wall())],
        rows=result.found,
        empty_text="no data sources",
        errors=result.errors,
        warnings=result.warnings,
        has_failures=result.is_nothing_selected,
    )


def _columns(now: float | None) -> list[TableColumn[Row]]:
    return [
        TableColumn("ID", lambda row: str(row.record.id), "number", rank=2),
        TableColumn("SOURCE", lambda row: row.record.name or "", kept_characters=28),
        TableColumn("TYPE", lambda row: row.record.type or "", rank=6),
        TableColumn("STATUS", lambda row: row.record.status or "", "status"),
        TableColumn("AGENT", lambda row: _agent(row.record), "status", rank=1),
        TableColumn("PROGRESS", lambda row: percent(_progress(row)), "bar", _progress),
        TableColumn("FAILED", lambda row: _sum(row.record, "failed"), "number"),
        TableColumn("DOING", lambda row: _sum(row.record, "doing"), "number", rank=4),
        TableColumn(
            "TABLES", lambda row: share(row.record.tables_done_num, table_counts(row.record).total), "number", rank=3
        ),
        TableColumn(
            "PARTITIONS",
            lambda row: share(row.record.partitions_done_num, partition_counts(row.record).total),
            "number",
            rank=3,
        ),
        TableColumn(
            "SCANNED",
            lambda row: age(row.record.last_update_time, row.account.time_zone, now),
            "number",
            rank=1 if now is None else 5,  # with --absolute-times, it is the only column with a time
        ),
    ]


def _agent(source: DataSource) -> str:
    return "" if source.agent_is_online is None else "online" if source.agent_is_online else "OFFLINE"


def _sum(source: DataSource, status: str) -> str:
    return sum_of_known(*(getattr(source, f"{kind}_{status}_num") for kind in ("tables", "partitions")))
