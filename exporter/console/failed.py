"""`failed`: lists the failed tables and partitions, only of data sources that count any.

The rows with the highest IDs come first, because MMS has no time of failure. 100,000 failures cost a few pages.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from exporter.clock import Clock
from exporter.config.loading import Config
from exporter.console.output.command_report import (
    SOURCE,
    SOURCE_FIELDS,
    CommandReport,
    Field,
    Found,
    QueryResult,
    TableColumn,
    account_columns,
    amount,
    dotted_name,
    record_field,
    size,
)
from exporter.console.selection.name_filters import GivenName, TableSelector, matched_names
from exporter.console.selection.newest_rows import merged, newest
from exporter.console.selection.queries import (
    Options,
    QueryPart,
    QueryTarget,
    query_sources,
    read_or_error,
)
from exporter.mms.decoding import Page
from exporter.mms.models.records import Partition, Table
from exporter.mms.protocol import JobFilter, PartitionFilter, TableFilter

FAILED: Final = "FAILED"

Failure = Table | Partition
F = TypeVar("F", bound=Failure)
Row = Found[Failure]
ReadPage = Callable[[QueryTarget, TableSelector, int], Awaitable[Page[F]]]
"""Reads a page of failures; the page number starts at 1."""


def kind_of(failure: Failure) -> str:
    """Return the kind of a failure, as `retry` names it."""
    return "table" if isinstance(failure, Table) else "partition"


def table_of(failure: Failure) -> str | None:
    """Return the name of the table."""
    return failure.name if isinstance(failure, Table) else failure.table_name


def _value(failure: Failure) -> str | None:
    return None if isinstance(failure, Table) else failure.value


def _dst_table(failure: Failure) -> str | None:
    return failure.dst_name if isinstance(failure, Table) else failure.dst_table_name


def _destination(row: Row) -> str:
    return dotted_name(row.record.dst_project_name, row.record.dst_schema_name, _dst_table(row.record))


FIELDS: Final[Sequence[Field[Row]]] = (
    *SOURCE_FIELDS,
    Field("kind", "table or partition", lambda row: kind_of(row.record)),
    record_field("id", "ID of the table or partition"),
    record_field("db_name", "source database"),
    Field("table_name", "source table", lambda row: table_of(row.record)),
    Field("value", "value of the partition, such as `p1=1/p2=abc`; null for a table", lambda row: _value(row.record)),
    record_field("dst_project_name", "destination MaxCompute project"),
    record_field("dst_schema_name", "destination schema"),
    Field("dst_table_name", "destination table", lambda row: _dst_table(row.record)),
    record_field("size", "size in bytes"),
    record_field("num_rows", "number of rows"),
    record_field("last_ddl_time", "time of the last DDL change at the source"),
)
COLUMNS: Final[Sequence[TableColumn[Row]]] = (
    SOURCE,
    TableColumn("KIND", lambda row: kind_of(row.record), "status", rank=2),
    TableColumn("ID", lambda row: str(row.record.id), "number"),
    TableColumn("TABLE", lambda row: dotted_name(row.record.db_name, table_of(row.record)), kept_characters=28),
    TableColumn("PARTITION", lambda row: _value(row.record) or "", kept_characters=28),
    TableColumn("TO", _destination, rank=3),
    TableColumn("ROWS", lambda row: amount(row.record.num_rows), "number", rank=4),
    TableColumn("SIZE", lambda row: size(row.record.size), "number", rank=4),
)


async def failures(config: Config, options: Options, _: Clock) -> CommandReport[Row]:
    """Return the failures that `options` select. Raises: ConfigError."""
    result = await query_sources(config, options, partial(read_failures, options))
    nothing = await nothing_failed(config, options, result)
    return result.report(FIELDS, nothing, columns=[*account_columns(config), *COLUMNS])


async def nothing_failed(config: Config, options: Options, result: QueryResult[Any]) -> str:
    """Return the text for no failures, with failed jobs counted."""
    failed_jobs = ""
    if not (result.found or result.omitted or result.errors or options.given_names):
        failed_jobs = _failed_jobs_text(await query_sources(config, options, _count_failed_jobs), options)
    return f"no failed tables or partitions{' with these names' if options.given_names else failed_jobs}"


async def read_failures(options: Options, target: QueryTarget) -> QueryPart[Failure]:
    """Return the failures of one data source; an error of one kind hides no other."""
    row = target.source
    # Each kind has its own permission: one that is denied does not hide the other.
    parts = await asyncio.gather(
        read_or_error(_of_kind(target, "table", row.tables_failed_num, _tables_page, options)),
        read_or_error(_of_kind(target, "partition", row.partitions_failed_num, _partitions_page, options)),
    )
    return QueryPart(
        [record for part in parts for record in part.records],
        " and ".join(part.omitted for part in parts if part.omitted),
        [error for part in parts for error in part.errors],
        frozenset[GivenName]().union(*(part.matched for part in parts)),
    )


async def _count_failed_jobs(target: QueryTarget) -> QueryPart[int]:
    page = await target.client.jobs_page(target.source.id, JobFilter(status=FAILED))
    stopped = await target.client.jobs_page(target.source.id, JobFilter(stopped=1))  # lists by status may omit them
    listed = {job.id for job in page.rows}
    omitted = [job for job in stopped.rows if job.stopped and job.status == FAILED and job.id not in listed]
    total = page.total or len(listed)
    return QueryPart((total + len(omitted) if total == len(listed) else total,))


def _failed_jobs_text(result: QueryResult[int], options: Options) -> str:
    count = sum(found.record for found in result.found)
    words = [f"--account={each}" for each in options.accounts] + [f"--source={each}" for each in options.sources]
    command = options.next_command.text("jobs", "--status=FAILED", *words)
    # Nothing is FAILED, so nothing in the scope of these jobs is.
    return f"; {count:,} failed job{'' if count == 1 else 's'} (resolved), list with: {command}" if count else ""


async def _of_kind(
    target: QueryTarget, noun: str, count: int | None, page: ReadPage[F], options: Options
) -> QueryPart[F]:
    """Return the failures of one kind; `count` is the data source's own figure."""
    if count == 0:
        return QueryPart(())
    lists = {
        names: await newest(
            partial(page, target, names), partial(_fits, names), options.limit, is_loose=not names.is_any
        )
        for names in await target.table_filters(options)
    }
    found = merged(lists.values(), options.limit, lambda failure: (True, failure.id))
    return QueryPart(found.rows, found.more(f"failed {noun}"), matched=matched_names(lists.items()))


async def _tables_page(target: QueryTarget, names: TableSelector, number: int) -> Page[Table]:
    filters = TableFilter(status=(FAILED,), db_name=names.database_pattern, name=names.table_pattern)
    return await target.client.tables_page(target.source.id, filters, number)


async def _partitions_page(target: QueryTarget, names: TableSelector, number: int) -> Page[Partition]:
    filters = PartitionFilter(status=(FAILED,), db_name=names.database_pattern, table_name=names.table_pattern)
    return await target.client.partitions_page(target.source.id, filters, number)


def _fits(names: TableSelector, failure: Failure) -> bool:
    # The row may have changed its status since it was listed, and the API's name filters match loosely.
    is_failed = failure.status is None or failure.status.upper() == FAILED
    return is_failed and names.has_database(failure.db_name) and names.has_table((table_of(failure),))
