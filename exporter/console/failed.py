"""`failed`: the tables and partitions that failed, asked for only where a data source counts some.

The highest ids come first: no field tells when something failed. So 100,000 failures cost a few pages.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from exporter.config.loading import Config
from exporter.console.columns import ACCOUNT, PLACE, SOURCE, Field, Found, TableColumn, own
from exporter.console.command_report import CommandReport
from exporter.console.newest import merged, newest
from exporter.console.options import Options
from exporter.console.queries import QueryPart, QueryTarget, ask, guarded
from exporter.console.text_formats import amount, place, size
from exporter.mms.decoding import Page
from exporter.mms.models import Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter, like

FAILED: Final = "FAILED"
ANY: Final = (None, None)
"""Of databases and tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A table or a partition that failed."""

    kind: str
    id: int
    db_name: str | None
    table_name: str | None
    value: str | None = None
    dst_project_name: str | None
    dst_schema_name: str | None
    dst_table_name: str | None
    size: int | None
    num_rows: int | None
    last_ddl_time: str | None
    status: str | None


Row = Found[Failure]
PageOf = Callable[[str | None, str | None, int], Awaitable[Page[Failure]]]
"""Of a database, a table, and a number from 1: that page of what failed in them."""

FIELDS: Final[Sequence[Field[Row]]] = (
    *PLACE,
    own("kind", "table or partition"),
    own("id", "ID of the table or partition"),
    own("db_name", "source database"),
    own("table_name", "source table"),
    own("value", "value of the partition, such as `p1=1/p2=abc`; null for a table"),
    own("dst_project_name", "destination MaxCompute project"),
    own("dst_schema_name", "destination schema"),
    own("dst_table_name", "destination table"),
    own("size", "size in bytes"),
    own("num_rows", "number of rows"),
    own("last_ddl_time", "time of the last DDL change at the source"),
)


async def failures(config: Config, options: Options) -> CommandReport[Row]:
    """Return what failed of what `options` mean. Raises: ConfigError."""

    async def read(target: QueryTarget) -> QueryPart[Failure]:
        return await _read(target, options)

    told = await ask(config, options, read)
    return CommandReport(
        fields=FIELDS,
        columns=_columns(has_accounts=len(config.accounts) > 1),
        rows=told.found,
        nothing="no failed tables or partitions with these names"
        if options.has_names
        else "no failed tables or partitions",
        omitted=told.omitted,
        troubles=told.troubles,
    )


async def _read(target: QueryTarget, options: Options) -> QueryPart[Failure]:
    """Return the failed tables and partitions of a source; a kind that may not be listed does not hide the other."""
    row = target.source
    parts = await asyncio.gather(
        guarded(_of_kind("table", row.tables_failed_num, partial(_tables_page, target), options)),
        guarded(_of_kind("partition", row.partitions_failed_num, partial(_partitions_page, target), options)),
    )
    return QueryPart(
        [thing for part in parts for thing in part.things],
        " and ".join(part.omitted for part in parts if part.omitted),
        [error for part in parts for error in part.errors],
    )


async def _of_kind(noun: str, count: int | None, page: PageOf, options: Options) -> QueryPart[Failure]:
    """Return the failures of one kind, of which the data source counts `count`."""
    if count == 0:
        return QueryPart(())
    lists = [
        await newest(partial(page, *names), partial(_fits, *names), options.limit, is_loose=names != ANY)
        for names in options.places()
    ]
    found = merged(lists, options.limit, lambda failure: (True, failure.id))
    return QueryPart(found.rows, found.more(f"failed {noun}"))


async def _tables_page(target: QueryTarget, database: str | None, table: str | None, number: int) -> Page[Failure]:
    filters = TableFilter(status=(FAILED,), db_name=database and like(database), name=table and like(table))
    page = await target.client.tables_page(target.source.id, filters, number)
    return Page(tuple(map(_of_table, page.rows)), page.total)


async def _partitions_page(target: QueryTarget, database: str | None, table: str | None, number: int) -> Page[Failure]:
    filters = PartitionFilter(status=(FAILED,), db_name=database and like(database), table_name=table and like(table))
    page = await target.client.partitions_page(target.source.id, filters, number)
    return Page(tuple(map(_of_partition, page.rows)), page.total)


def _fits(database: str | None, table: str | None, failure: Failure) -> bool:
    """Tell whether a row still is in the state it was listed for, and has the names that are wanted."""
    is_failed = failure.status is None or failure.status.upper() == FAILED
    return is_failed and database in (None, failure.db_name) and table in (None, failure.table_name)


def _of_table(row: Table) -> Failure:
    return Failure(
        kind="table",
        id=row.id,
        db_name=row.db_name,
        table_name=row.name,
        dst_project_name=row.dst_project_name,
        dst_schema_name=row.dst_schema_name,
        dst_table_name=row.dst_name,
        size=row.size,
        num_rows=row.num_rows,
        last_ddl_time=row.last_ddl_time,
        status=row.status,
    )


def _of_partition(row: Partition) -> Failure:
    return Failure(
        kind="partition",
        id=row.id,
        db_name=row.db_name,
        table_name=row.table_name,
        value=row.value,
        dst_project_name=row.dst_project_name,
        dst_schema_name=row.dst_schema_name,
        dst_table_name=row.dst_table_name,
        size=row.size,
        num_rows=row.num_rows,
        last_ddl_time=row.last_ddl_time,
        status=row.status,
    )


def _columns(*, has_accounts: bool) -> list[TableColumn[Row]]:
    return [
        *([ACCOUNT] if has_accounts else []),
        SOURCE,
        TableColumn("KIND", lambda row: row.thing.kind, "status"),
        TableColumn("ID", lambda row: str(row.thing.id), "figure"),
        TableColumn("TABLE", lambda row: place(row.thing.db_name, row.thing.table_name)),
        TableColumn("PARTITION", lambda row: row.thing.value or ""),
        TableColumn("TO", lambda row: _destination(row.thing), rank=1),
        TableColumn("ROWS", lambda row: amount(row.thing.num_rows), "figure", rank=2),
        TableColumn("SIZE", lambda row: size(row.thing.size), "figure", rank=2),
    ]


def _destination(failure: Failure) -> str:
    return place(failure.dst_project_name, failure.dst_schema_name, failure.dst_table_name)
