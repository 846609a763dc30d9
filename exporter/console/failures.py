"""`failed`: the tables and partitions that failed, asked for only where a data source counts some.

The highest ids come first: no field tells when something failed. So 100,000 failures cost a few pages.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from exporter.config import Config
from exporter.console.asking import Part, Target, ask, guarded
from exporter.console.columns import ACCOUNT, PLACE, SOURCE, Column, Field, Found, own
from exporter.console.newest import Newest, merged, newest
from exporter.console.options import Options
from exporter.console.report import Report
from exporter.console.texts import amount, place, size
from exporter.mms.models import Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter, like

FAILED: Final = "FAILED"


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


Row = Found[Failure]

FIELDS: Final[Sequence[Field[Row]]] = (
    *PLACE,
    own("kind", "table or partition"),
    own("id", "the table's or the partition's id"),
    own("db_name", "the source database"),
    own("table_name", "the source table"),
    own("value", "the partition's value, as in `p1=1/p2=abc`; null for a table"),
    own("dst_project_name", "the MaxCompute project that data goes to"),
    own("dst_schema_name", "the schema there"),
    own("dst_table_name", "the table there"),
    own("size", "bytes"),
    own("num_rows", "rows"),
    own("last_ddl_time", "when it was last changed in the source"),
)


async def failures(config: Config, options: Options) -> Report[Row]:
    """Return what failed of what `options` mean. Raises: ConfigError."""

    async def read(target: Target) -> Part[Failure]:
        return await _read(target, options)

    told = await ask(config, options, read)
    return Report(
        fields=FIELDS,
        columns=_columns(has_accounts=len(config.accounts) > 1),
        rows=told.found,
        nothing="nothing failed",
        omitted=told.omitted,
        troubles=told.troubles,
    )


async def _read(target: Target, options: Options) -> Part[Failure]:
    """Return the failed tables and partitions of a source; a kind that may not be listed does not hide the other."""
    kinds = guarded(_failed_tables(target, options)), guarded(_failed_partitions(target, options))
    parts = await asyncio.gather(*kinds)
    return Part(
        [thing for part in parts for thing in part.things],
        " and ".join(part.omitted for part in parts if part.omitted),
        [error for part in parts for error in part.errors],
    )


async def _failed_tables(target: Target, options: Options) -> Part[Failure]:
    if target.source.tables_failed_num == 0:
        return Part(())

    async def listed(database: str | None, table: str | None) -> Newest[Table]:
        filters = TableFilter(status=(FAILED,), db_name=database and like(database), name=table and like(table))

        def fits(row: Table) -> bool:
            return _fits(row.status, (database, row.db_name), (table, row.name))

        return await newest(
            lambda page: target.client.tables_page(target.source.id, filters, page),
            fits,
            options.limit,
            is_loose=database is not None or table is not None,
        )

    found = merged([await listed(*names) for names in _names(options)], options.limit, _rank)
    return Part([_of_table(row) for row in found.rows], found.more("failed tables"))


async def _failed_partitions(target: Target, options: Options) -> Part[Failure]:
    if target.source.partitions_failed_num == 0:
        return Part(())

    async def listed(database: str | None, table: str | None) -> Newest[Partition]:
        filters = PartitionFilter(
            status=(FAILED,), db_name=database and like(database), table_name=table and like(table)
        )

        def fits(row: Partition) -> bool:
            return _fits(row.status, (database, row.db_name), (table, row.table_name))

        return await newest(
            lambda page: target.client.partitions_page(target.source.id, filters, page),
            fits,
            options.limit,
            is_loose=database is not None or table is not None,
        )

    found = merged([await listed(*names) for names in _names(options)], options.limit, _rank)
    return Part([_of_partition(row) for row in found.rows], found.more("failed partitions"))


def _names(options: Options) -> Iterable[tuple[str | None, str | None]]:
    """Return each database and table to ask for; None for any."""
    return product(options.databases or (None,), options.tables or (None,))


def _fits(status: str | None, *pairs: tuple[str | None, str | None]) -> bool:
    """Tell whether a row still is in the state it was listed for, and has the names that are wanted."""
    return (status is None or status.upper() == FAILED) and all(wanted in (None, name) for wanted, name in pairs)


def _rank(row: Table | Partition) -> tuple[bool, int]:
    return True, row.id


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
    )


def _columns(*, has_accounts: bool) -> list[Column[Row]]:
    return [
        *([ACCOUNT] if has_accounts else []),
        SOURCE,
        Column("KIND", lambda row: row.thing.kind, "status"),
        Column("ID", lambda row: str(row.thing.id), "figure"),
        Column("TABLE", lambda row: place(row.thing.db_name, row.thing.table_name)),
        Column("PARTITION", lambda row: row.thing.value or ""),
        Column("TO", lambda row: _destination(row.thing), rank=1),
        Column("ROWS", lambda row: amount(row.thing.num_rows), "figure", rank=2),
        Column("SIZE", lambda row: size(row.thing.size), "figure", rank=2),
    ]


def _destination(failure: Failure) -> str:
    return place(failure.dst_project_name, failure.dst_schema_name, failure.dst_table_name)
