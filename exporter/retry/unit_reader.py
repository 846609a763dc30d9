"""Reads the tables and partitions of one data source. Each list is complete or an error."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from math import inf
from typing import Final, TypeVar

from exporter.clock import Clock
from exporter.errors import MalformedAnswer, NotFound
from exporter.mms.client import Client
from exporter.mms.decoding import Identified, Page
from exporter.mms.listing import MAX_READINGS, read_pages, read_until_stable
from exporter.mms.models.records import Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter, like
from exporter.retry.units import FAILED, Batch, TableName, Unit, UnitKind, partition_unit, table_unit
from exporter.runtime import gather_or_cancel

MAX_PAGES: Final = 50_000
"""Page limit of one list, in case a server never ends it."""
MAX_NAMES: Final = 50
"""Tables of one database that are read by name; for more, all tables of the database are listed."""
FRESH_SECONDS: Final = 60.0
"""How long a read status counts as current."""
MAX_SINGLE_RECHECKS: Final = 10
"""Partitions of one table, or tables, that are rechecked one by one; for more, the FAILED list is read."""
I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified
R = TypeVar("R", Table, Partition)


async def read_whole_list(operation: str, read: Callable[[int], Awaitable[Page[I]]]) -> list[I]:
    """Return all rows; read again if the list changed. Raises: MmsError."""
    listing = await read_until_stable(lambda: read_pages(read, max_pages=MAX_PAGES))
    if listing.is_consistent:
        return list(listing.rows)
    problem = "changed while it was read" if listing.is_complete else "is incomplete"
    raise MalformedAnswer(f"{operation}: the list {problem} in each of {MAX_READINGS} attempts")


class UnitReader:
    """Reader of the tables and partitions of one data source. All methods raise MmsError."""

    def __init__(self, client: Client, source_id: int) -> None:
        self._client = client
        self._source_id = source_id

    async def failed(self, db: str | None = None) -> list[Unit]:
        """Return all FAILED tables and partitions, optionally of one database."""
        return [*await self.failed_tables(db), *await self.failed_partitions(db)]

    async def failed_tables(self, db: str | None = None) -> list[Unit]:
        """Return all FAILED tables, optionally of one database."""
        found = await self._tables(TableFilter(db_name=db and like(db), status=(FAILED,)))
        return [unit for unit in found if db is None or unit.db == db]

    async def failed_partitions(self, db: str | None = None, table: str | None = None) -> list[Unit]:
        """Return all FAILED partitions, optionally of one database or table."""
        filters = PartitionFilter(db_name=db and like(db), table_name=table and like(table), status=(FAILED,))
        found = await read_whole_list(
            "ListMmsPartitions",
            lambda page: _units(self._client.partitions_page(self._source_id, filters, page), partition_unit),
        )
        return [unit for unit in found if db is None or unit.db == db]

    async def tables_named(self, db: str | None, name: str) -> list[Unit]:
        """Return the tables with exactly this name; `db` None means all."""
        found = await self._tables(TableFilter(db_name=db and like(db), name=like(name)))
        return [unit for unit in found if unit.table == name and db in (None, unit.db)]

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
        found = await gather_or_cancel(self.tables_named(db, name) for name in sorted(names))
        return [unit for units in found for unit in units]

    async def find(self, kind: UnitKind, number: int) -> Unit | None:
        """Return one table or partition, None if it does not exist. Raises: MmsError."""
        try:
            if kind == "table":
                return table_unit(await self._client.get_table(self._source_id, number))
            return partition_unit(await self._client.get_partition(self._source_id, number))
        except NotFound as error:
            if not error.code:
                raise  # a gateway may answer 404, too
            return None

    async def _tables(self, filters: TableFilter) -> list[Unit]:
        return await read_whole_list(
            "ListMmsTables", lambda page: _units(self._client.tables_page(self._source_id, filters, page), table_unit)
        )


async def _units(answer: Awaitable[Page[R]], unit_of: Callable[[R], Unit]) -> Page[Unit]:
    # Units are small, so a list of 100,000 rows needs little memory.
    page = await answer
    return Page(tuple(map(unit_of, page.rows)), page.total)


class FailedRecheck:
    """Filters batches to the units that are still FAILED.

    Used just before a batch is sent: a plan may wait for hours for its confirmation, and a resumed run was planned even
    earlier.
    """

    def __init__(self, reader: UnitReader, clock: Clock, planned_at: float | None) -> None:
        """Store the monotonic time of the plan, None if unknown."""
        self._reader = reader
        self._clock = clock
        self._planned_at = -inf if planned_at is None else planned_at
        self._lists: dict[TableName, tuple[frozenset[int], float]] = {}
        """IDs of a FAILED list and when it was read, by database and table; table None for a list of tables."""

    async def still_failed(self, batch: Batch) -> Batch:
        """Return the batch without units that are no longer FAILED. Raises: MmsError."""
        if self._is_fresh(self._planned_at):
            return batch
        places: dict[TableName, list[Unit]] = {}
        for unit in batch.units():
            places.setdefault((unit.db, unit.table if unit.is_partition else None), []).append(unit)
        found = await gather_or_cancel(self._failed_ids(place, units) for place, units in places.items())
        # A batch has either partitions or tables, so IDs are unique.
        failed = frozenset[int]().union(*found)
        return batch.without(lambda unit: unit.id not in failed)

    def _is_fresh(self, read_at: float) -> bool:
        return self._clock.monotonic() - read_at <= FRESH_SECONDS

    async def _failed_ids(self, place: TableName, units: Sequence[Unit]) -> frozenset[int]:
        """Return the IDs of FAILED units, including all in `units`."""
        if len(units) <= MAX_SINGLE_RECHECKS:
            known = await gather_or_cancel(self._reader.find(unit.kind, unit.id) for unit in units)
            return frozenset(unit.id for unit in known if unit is not None and unit.is_failed)
        ids, read_at = self._lists.get(place, (frozenset[int](), -inf))
        if not self._is_fresh(read_at):
            db, table = place
            reading = self._reader.failed_tables(db) if table is None else self._reader.failed_partitions(db, table)
            ids = frozenset(unit.id for unit in await reading)
            self._lists[place] = ids, self._clock.monotonic()
        return ids
