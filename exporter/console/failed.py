"""`failed`: lists the failed tables and partitions, only of data sources that count any.

The rows with the highest IDs come first, because MMS has no time of failure. 100,000 failures cost a few pages.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from msgspec import structs

from exporter.config.loading import Config
from exporter.console.columns import ACCOUNT, SOURCE, SOURCE_FIELDS, Field, Found, TableColumn, record_field
from exporter.console.command_report import CommandReport
from exporter.console.newest import merged, newest
from exporter.console.options import Options
from exporter.console.queries import QueryPart, QueryTarget, query_sources, read_or_error
from exporter.console.text_formats import amount, dotted_name, size
from exporter.mms.decoding import Page
from exporter.mms.models import Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter, like
from exporter.retry.units import FAILED, Unit, partition_unit, table_unit

ANY: Final = (None, None)
"""Any database and table."""


class Failure(Unit, frozen=True, kw_only=True, gc=False):
    """A failed table or partition with its size."""

    size: int | None
    num_rows: int | None
    last_ddl_time: str | None


Row = Found[Failure]
ReadPage = Callable[[str | None, str | None, int], Awaitable[Page[Failure]]]
"""Reads a page of failures; arguments: database, table and page number from 1."""

FIELDS: Final[Sequence[Field[Row]]] = (
    *SOURCE_FIELDS,
    record_field("kind", "table or partition"),
    record_field("id", "ID of the table or partition"),
    record_field("db_name", "source database", "db"),
    record_field("table_name", "source table", "table"),
    record_field("value", "value of the partition, such as `p1=1/p2=abc`; null for a table"),
    record_field("dst_project_name", "destination MaxCompute project", "dst_project"),
    record_field("dst_schema_name", "destination schema", "dst_schema"),
    record_field("dst_table_name", "destination table", "dst_table"),
    record_field("size", "size in bytes"),
    record_field("num_rows", "number of rows"),
    record_field("last_ddl_time", "time of the last DDL change at the source"),
)


async def failures(config: Config, options: Options) -> CommandReport[Row]:
    """Return the failures that `options` select. Raises: ConfigError."""
    result = await query_sources(config, options, partial(_read, options))
    return CommandReport(
        fields=FIELDS,
        columns=_columns(has_accounts=len(config.accounts) > 1),
        rows=result.found,
        empty_text="no failed tables or partitions with these names"
        if options.has_names
        else "no failed tables or partitions",
        omitted=result.omitted,
        errors=result.errors,
    )


async def _read(options: Options, target: QueryTarget) -> QueryPart[Failure]:
    row = target.source
    # Each kind has its own permission: one that is denied does not hide the other.
    parts = await asyncio.gather(
        read_or_error(_of_kind("table", row.tables_failed_num, partial(_tables_page, target), options)),
        read_or_error(_of_kind("partition", row.partitions_failed_num, partial(_partitions_page, target), options)),
    )
    return QueryPart(
        [record for part in parts for record in part.records],
        " and ".join(part.omitted for part in parts if part.omitted),
        [error for part in parts for error in part.errors],
    )


async def _of_kind(noun: str, count: int | None, page: ReadPage, options: Options) -> QueryPart[Failure]:
    """Return the failures of one kind; `count` is the data source's own figure."""
    if count == 0:
        return QueryPart(())
    lists = [
        await newest(partial(page, *names), partial(_fits, *names), options.limit, is_loose=names != ANY)
        for names in options.table_filters()
    ]
    found = merged(lists, options.limit, lambda failure: (True, failure.id))
    return QueryPart(found.rows, found.more(f"failed {noun}"))


async def _tables_page(target: QueryTarget, database: str | None, table: str | None, number: int) -> Page[Failure]:
    filters = TableFilter(status=(FAILED,), db_name=database and like(database), name=table and like(table))
    page = await target.client.tables_page(target.source.id, filters, number)
    return Page(tuple(_failure(row, table_unit(row)) for row in page.rows), page.total)


async def _partitions_page(target: QueryTarget, database: str | None, table: str | None, number: int) -> Page[Failure]:
    filters = PartitionFilter(status=(FAILED,), db_name=database and like(database), table_name=table and like(table))
    page = await target.client.partitions_page(target.source.id, filters, number)
    return Page(tuple(_failure(row, partition_unit(row)) for row in page.rows), page.total)


def _failure(row: Table | Partition, unit: Unit) -> Failure:
    return Failure(**structs.asdict(unit), size=row.size, num_rows=row.num_rows, last_ddl_time=row.last_ddl_time)


def _fits(database: str | None, table: str | None, failure: Failure) -> bool:
    # The row may have changed its status since it was listed, and the API's name filters match loosely.
    is_failed = failure.status is None or failure.is_failed
    return is_failed and database in (None, failure.db) and table in (None, failure.table)


def _columns(*, has_accounts: bool) -> list[TableColumn[Row]]:
    return [
        *([ACCOUNT] if has_accounts else []),
        SOURCE,
        TableColumn("KIND", lambda row: row.record.kind, "status"),
        TableColumn("ID", lambda row: str(row.record.id), "number"),
        TableColumn("TABLE", lambda row: dotted_name(row.record.db, row.record.table)),
        TableColumn("PARTITION", lambda row: row.record.value or ""),
        TableColumn("TO", lambda row: _destination(row.record), rank=1),
        TableColumn("ROWS", lambda row: amount(row.record.num_rows), "number", rank=2),
        TableColumn("SIZE", lambda row: size(row.record.size), "number", rank=2),
    ]


def _destination(failure: Failure) -> str:
    return dotted_name(failure.dst_project, failure.dst_schema, failure.dst_table)
