"""Reads tables and partitions of one data source: each list whole, or not at all. Knows nothing of jobs."""

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
"""Of one list: a server that never ends it must not hold a person."""
MAX_NAMES: Final = 50
"""Tables of one database that are looked for by their names; for more, all of the database are listed."""
I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified
R = TypeVar("R", Table, Partition)


async def whole(operation: str, read: Callable[[int], Awaitable[Page[I]]]) -> list[I]:
    """Return all rows of a list, which is read again where it moved meanwhile. Raises: MmsError."""
    listing = await read_until_stable(lambda: read_pages(read, max_pages=MAX_PAGES))
    if listing.is_consistent:
        return list(listing.rows)
    lack = "it moved" if listing.is_complete else "it is not whole"
    raise MalformedAnswer(
        f"{operation}: {lack}, {MAX_READINGS} times read, so it is not known what all is in this list"
    )


class FailedUnitReader:
    """The tables and partitions of one data source. What it returns raises MmsError where it cannot be read."""

    def __init__(self, client: Client, source_id: int) -> None:
        self._client = client
        self._source_id = source_id

    async def failed(self, db: str | None = None) -> list[Unit]:
        """Return all tables and partitions of the source, or of one database, that failed."""
        return [*await self.failed_tables(db), *await self.failed_partitions(db)]

    async def failed_tables(self, db: str | None = None) -> list[Unit]:
        """Return all tables of the source, or of one database, that failed."""
        found = await self._tables(TableFilter(db_name=None if db is None else like(db), status=(FAILED,)))
        return [unit for unit in found if db is None or unit.db == db]

    async def failed_partitions(self, db: str | None = None, table: str | None = None) -> list[Unit]:
        """Return all partitions that failed: of the source, of one database, or of the tables of one name in it."""
        filters = PartitionFilter(
            db_name=None if db is None else like(db),
            table_name=None if table is None else like(table),
            status=(FAILED,),
        )
        found = await whole(
            "ListMmsPartitions",
            lambda page: _units(self._client.partitions_page(self._source_id, filters, page), partition_unit),
        )
        return [unit for unit in found if db is None or unit.db == db]

    async def tables_called(self, db: str, name: str) -> list[Unit]:
        """Return the tables of exactly this name in exactly this database."""
        found = await self._tables(TableFilter(db_name=like(db), name=like(name)))
        return [unit for unit in found if (unit.db, unit.table) == (db, name)]

    async def shared_names(self, tables: Iterable[Unit]) -> frozenset[TableName]:
        """Return which of some tables' names, with their databases, are also those of others in the same database."""
        names: dict[str, set[str]] = {}
        for unit in tables:
            if unit.db and unit.table:
                names.setdefault(unit.db, set()).add(unit.table)
        counts: Counter[TableName] = Counter()
        for db, wanted in names.items():
            counts.update(unit.table_name for unit in await self._all_called(db, wanted))
        return frozenset(name for name, count in counts.items() if count > 1)

    async def _all_called(self, db: str, names: Collection[str]) -> list[Unit]:
        """Return the tables of a database that have one of these names; many more, where these are many."""
        if len(names) > MAX_NAMES:
            return [unit for unit in await self._tables(TableFilter(db_name=like(db))) if unit.db == db]
        found = await asyncio.gather(*(self.tables_called(db, name) for name in sorted(names)))
        return [unit for units in found for unit in units]

    async def table(self, number: int) -> Unit:
        """Return one table. Raises: MmsError; NotFound."""
        return table_unit(await self._client.get_table(self._source_id, number))

    async def partition(self, number: int) -> Unit:
        """Return one partition. Raises: MmsError; NotFound."""
        return partition_unit(await self._client.get_partition(self._source_id, number))

    async def _tables(self, filters: TableFilter) -> list[Unit]:
        return await whole(
            "ListMmsTables", lambda page: _units(self._client.tables_page(self._source_id, filters, page), table_unit)
        )


async def _units(reading: Awaitable[Page[R]], unit_of: Callable[[R], Unit]) -> Page[Unit]:
    """Return a page with little of each row, so that a list of 100,000 stays small."""
    page = await reading
    return Page(tuple(map(unit_of, page.rows)), page.total)
