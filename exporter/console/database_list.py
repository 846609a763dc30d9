"""`databases`: lists the databases of data sources, the largest first."""

from collections.abc import Sequence
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
    amount,
    dotted_name,
    record_field,
    size,
)
from exporter.console.output.unit_columns import DOING, FAILED, PARTITIONS, PROGRESS, PROGRESS_FIELD, TABLES
from exporter.console.selection.queries import Options, QueryPart, QueryTarget, query_sources
from exporter.errors import MalformedAnswer
from exporter.mms.models.names import matches
from exporter.mms.models.records import Database
from exporter.mms.models.statuses import TableStatus

Row = Found[Database]

INCOMPLETE: Final = "ListMmsDbs: the list is incomplete or changed while it was read"
FIELDS: Final[Sequence[Field[Row]]] = (
    *SOURCE_FIELDS,
    record_field("id", "ID of the database"),
    record_field("name", "name of the source database"),
    record_field("status", f"{', '.join(TableStatus)} or a new value"),
    PROGRESS_FIELD,
    record_field("tables", "tables found by the last metadata scan"),
    record_field("tables_doing", "tables in status DOING"),
    record_field("tables_done", "tables in status DONE"),
    record_field("tables_part_done", "tables in status PART_DONE"),
    record_field("tables_failed", "tables in status FAILED"),
    record_field("partitions", "partitions found by the last metadata scan"),
    record_field("partitions_doing", "partitions in status DOING"),
    record_field("partitions_done", "partitions in status DONE"),
    record_field("partitions_failed", "partitions in status FAILED"),
    record_field("size", "bytes at the source"),
    record_field("num_rows", "rows at the source"),
    record_field("dst_project_name", "destination MaxCompute project"),
    record_field("dst_name", "destination schema, if the project has schemas"),
)
COLUMNS: Final[Sequence[TableColumn[Row]]] = (
    SOURCE,
    TableColumn("DATABASE", lambda row: row.record.name or "", kept_characters=28),
    TableColumn("STATUS", lambda row: row.record.status or "", "status", rank=3),
    *(PROGRESS, FAILED),
    TableColumn("SIZE", lambda row: size(row.record.size), "number", rank=2),
    *(TABLES, PARTITIONS, DOING),
    TableColumn("ROWS", lambda row: amount(row.record.num_rows), "number", rank=5),
    TableColumn("TO", lambda row: dotted_name(row.record.dst_project_name, row.record.dst_name), rank=6),
)


async def databases(config: Config, options: Options, _: Clock) -> CommandReport[Row]:
    """Return the databases that `options` select. Raises: ConfigError."""
    wanted = options.statuses_among(TableStatus)

    async def read(target: QueryTarget) -> QueryPart[Database]:
        listing = await target.client.list_databases(target.source.id)
        named = [each for each in listing.rows if not each.deleted and _is_named(each, options.databases)]
        selected = [each for each in named if not wanted or each.status in wanted]
        shown = sorted(selected, key=lambda each: each.size_rank)[: options.limit]
        omitted = len(selected) - len(shown)
        return QueryPart(
            shown,
            f"{omitted:,} more database{'' if omitted == 1 else 's'}" if omitted else "",
            () if listing.is_consistent else (MalformedAnswer(INCOMPLETE),),
            frozenset(("database", each) for each in options.databases for row in named if matches(each, (row.name,))),
        )

    result = await query_sources(config, options, read)
    return result.report(FIELDS, "no databases", columns=[*account_columns(config), *COLUMNS])


def _is_named(database: Database, names: Sequence[str]) -> bool:
    return not names or any(matches(each, (database.name,)) for each in names)
