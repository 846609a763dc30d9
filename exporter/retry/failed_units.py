"""Reads tables and partitions of one data source. Each list is complete or an error. Knows nothing of jobs."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final, TypeVar

from exporter.errors import MalformedAnswer
from exporter.mms.client import Client
from exporter.mms.decoding import Identified, Page
from exporter.mms.listing import MAX_READINGS, read_pages, read_until_stable
from exporter.mms.models import Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter, like
from exporter.retry.units import FAILED, TableName, Unit, partition_unit, table_unit

MAX_PAGES: Final = 50_000
"""Page limit of one list, in case a server never ends it."""
MAX_NAMES: Final = 50
"""Tables of one database that are read by name; for more, all tables of the database are listed."""
I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified
R = TypeVar("R", Table, Partition)


async def read_whole_list(operation: str, read: Callable[[int], Awaitable[Page[I]]]) -> list[I]:
    """Return all rows; read again if the list changed. Raises: MmsError."""
    listing = await read_until_stable(lambda: read_pages(read, max_pages=MAX_PAGES))
    if listing.is_consistent:
        return list(listing.rows)
    problem = "changed while it was read" if listing.is_complete else "is incomplete"
    raise MalformedAnswer(f"{operation}: the list {problem} in each of {MAX_READINGS} attempts")


class FailedUnitReader:
    """Reader of the tables and partitions of one data source. All methods raise MmsError."""

    def __init__(self, client: Client, source_id: int) -> None:
        self._client = client
        self._source_id = source_id

    async def failed(self, db: str | None = None) -> list[Unit]:
        """Return all FAILED tables and partitions, optionally of one database."""
        return [*await self.failed_tables(db), *await self.failed_partitions(db)]

    async def failed_tables(self, db: str | None = None) -> list[Unit]:
        """Return all FAILED tables, optionally of one database."""
        found = await self._tables(TableFilter(db_name=None if db is None else like(db), status=(FAILED,)))
        return [unit for unit in found if db is None or unit.db == db]

    async def failed_partitions(self, db: str | None = None, table: str | None = None) -> list[Unit]:
        """Return all FAILED partitions, optionally of one database or table."""
        filters = PartitionFilter(
            db_name=None if db is None else like(db),
            table_name=None if table is None else like(table),
            status=(FAILED,),
        )
        found = await read_whole_list(
            "ListMmsPartitions",
            lambda page: _units(self._client.partitions_page(self._source_id, filters, page), partition_unit),
        )
        return [unit for unit in found if db is None or unit.db == db]

    async def tables_named(self, db: str, name: str) -> list[Unit]:
        """Return the tables with exactly this database and name."""
        found = await self._tables(TableFilter(db_name=like(db), name=like(name)))
        return [unit for unit in found if (unit.db, unit.table) == (db, name)]

    async def shared_names(self, tables: Iterable[Unit]) -> frozenset[TableName]:
        """Return the names that several tables of one database have."""
        names: dict[str, set[str]] = {}
        for unit in tables:
            if unit.db and unit.table:
                names.setdefault(unit.db, set()).add(unit.table)
        counts: Counter[TableName] = Counter()
        for db, wanted in names.items():
            counts.update(unit.table_name for unit in await self._tables_with_names(db, wanted))
        return frozenset(name for name, count in counts.items() if count > 1)

    async def _tables_with_names(self, db: str, names: Collection[str]) -> list[Unit]:
        """Return the tables with these names, possibly also others."""
        if len(names) > MAX_NAMES:
            return [unit for unit in await self._tables(TableFilter(db_name=like(db))) if unit.db == db]
        found = await asyncio.gather(*(self.tables_named(db, name) for name in sorted(names)))
        return [unit for units in found for unit in units]

    async def table(self, number: int) -> Unit:
        """Return one table. Raises: MmsError; NotFound."""
        return table_unit(await self._client.get_table(self._source_id, number))

    async def partition(self, number: int) -> Unit:
        """Return one partition. Raises: MmsError; NotFound."""
        return partition_unit(await self._client.get_partition(self._source_id, number))

    async def _tables(self, filters: TableFilter) -> list[Unit]:
        return await read_whole_list(
            "ListMmsTables", lambda page: _units(self._client.tables_page(self._source_id, filters, page), table_unit)
        )


async def _units(answer: Awaitable[Page[R]], unit_of: Callable[[R], Unit]) -> Page[Unit]:
    # Units are small, so a list of 100,000 rows needs little memory.
    page = await answer
    return Page(tuple(map(unit_of, page.rows)), page.total)
