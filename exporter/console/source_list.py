"""`sources`: lists the data sources and their progress, with one list call per account."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from exporter.clock import Clock
from exporter.config.loading import Config
from exporter.console.output.command_report import (
    SOURCE,
    SOURCE_FIELDS,
    CommandReport,
    Field,
    Found,
    TableColumn,
    account_columns,
    age,
    record_field,
)
from exporter.console.output.unit_columns import DOING, FAILED, PARTITIONS, PROGRESS, PROGRESS_FIELD, TABLES
from exporter.console.selection.queries import Options, QueryPart, QueryTarget, query_sources
from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import DataSourceStatus

Row = Found[DataSource]

# Without `err_msg`: it quotes what the source answered, which may hold a secret.
FIELDS: Final[Sequence[Field[Row]]] = (
    SOURCE_FIELDS[0],
    record_field("id", "ID of the data source; a rename does not change it"),
    record_field("name", "name of the data source"),
    record_field("type", "type, such as HIVE, BIGQUERY, MAXCOMPUTE"),
    record_field("region", "region of the data source"),
    record_field("status", f"{', '.join(DataSourceStatus)} or a new value"),
    record_field("agent_is_online", "whether the agent is online"),
    PROGRESS_FIELD,
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
    columns = _columns(None if options.absolute_times else clock.wall())
    return result.report(FIELDS, "no data sources", columns=[*account_columns(config), *columns])


def _columns(now: float | None) -> list[TableColumn[Row]]:
    return [
        TableColumn("ID", lambda row: str(row.record.id), "number", rank=3),
        replace(SOURCE, kept_characters=28, short_in="ID"),
        TableColumn("TYPE", lambda row: row.record.type or "", rank=6),
        TableColumn("STATUS", lambda row: row.record.status or "", "status"),
        TableColumn("AGENT", lambda row: _agent(row.record), "status", rank=2),
        *(PROGRESS, FAILED, DOING, TABLES, PARTITIONS),
        TableColumn(
            "SCANNED",
            lambda row: age(row.record.last_update_time, row.account.time_zone, now),
            "number",
            rank=2 if now is None else 5,  # with --absolute-times, it is the only column with a time
        ),
    ]


def _agent(source: DataSource) -> str:
    return "" if source.agent_is_online is None else "online" if source.agent_is_online else "OFFLINE"
