"""Checks that all units of a run are DONE, in few calls.

Statuses may lag behind jobs: a status that may still change is read again until the settle time is over.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from msgspec.structs import replace

from exporter.mms.protocol import PartitionFilter, like
from exporter.retry.run_context import Polling, RetryContext
from exporter.retry.unit_reader import UnitReader
from exporter.retry.units import DONE, TableName, Unit
from exporter.runtime import gather_or_cancel

MAX_SINGLE_READS: Final = 50
"""Partitions of one table that are read one by one; for more, the list of the table is read."""
STATUSES: Final = Polling(first_seconds=5.0, max_seconds=30.0, max_failures=1)
MAX_PAGES: Final = 100_000


async def incomplete_units(context: RetryContext) -> list[Unit]:
    """Return the units of a run that are not DONE; status None if a unit no longer exists.

    Includes FAILED tables that are migrated by partition IDs. Raises: MmsError.
    """
    began = context.clock.monotonic()
    done = [entry for entry in context.journal.entries if entry.state == "done"]
    of_done_jobs = {(unit.kind, unit.id) for entry in done for unit in entry.batch.units()}

    # A missing unit, and a FAILED unit of a FAILED job, do not change any more.
    def may_settle(unit: Unit) -> bool:
        return unit.status is not None and (not unit.is_failed or (unit.kind, unit.id) in of_done_jobs)

    reader = _StatusReader(context)
    left = await _read_until_settled(context, reader.incomplete, may_settle, context.settle_seconds)
    # If units are incomplete, the run has failed and there is no need to wait for the tables.
    seconds = 0.0 if left else context.settle_seconds - (context.clock.monotonic() - began)
    return left + await _read_until_settled(context, reader.failed_tables, lambda _: True, seconds)


async def other_failures(context: RetryContext) -> list[Unit]:
    """Return the FAILED units outside a run. Raises: MmsError."""
    ids = {(unit.kind, unit.id) for unit in _units(context)} | {("table", each) for each in context.journal.run.tables}
    failed = await UnitReader(context.client, context.source_id).failed()
    return [unit for unit in failed if (unit.kind, unit.id) not in ids]


def _units(context: RetryContext) -> list[Unit]:
    return [unit for entry in context.journal.entries for unit in entry.batch.units()]


Read = Callable[[Sequence[Unit]], Awaitable[list[Unit]]]
"""Returns the incomplete ones of some units."""


async def _read_until_settled(
    context: RetryContext, read: Read, may_settle: Callable[[Unit], bool], seconds: float
) -> list[Unit]:
    """Return the remaining units once stable or out of time."""
    final: list[Unit] = []
    unsettled = _units(context)

    async def left(is_last: bool) -> list[Unit] | None:  # noqa: FBT001 - as `poll` calls it
        nonlocal unsettled
        known = await read(unsettled)
        unsettled = [unit for unit in known if may_settle(unit)]
        final.extend(unit for unit in known if not may_settle(unit))
        return final + unsettled if is_last or not unsettled else None

    return await context.poll(STATUSES, left, seconds) or []


class _StatusReader:
    """Reads the current statuses of units."""

    def __init__(self, context: RetryContext) -> None:
        self._client = context.client
        self._source_id = context.source_id
        self._tables = frozenset(context.journal.run.tables)
        self._reader = UnitReader(context.client, context.source_id)

    async def failed_tables(self, _: Sequence[Unit]) -> list[Unit]:
        """Return the FAILED tables among those sent by IDs."""
        if len(self._tables) > MAX_SINGLE_READS:
            return [table for table in await self._reader.failed_tables() if table.id in self._tables]
        found = await gather_or_cancel(self._reader.find("table", number) for number in sorted(self._tables))
        return [table for table in found if table is not None and table.is_failed]

    async def incomplete(self, units: Sequence[Unit]) -> list[Unit]:
        """Return the units that are not DONE, with their statuses."""
        single: list[Unit] = []
        tables: dict[TableName, dict[int, Unit]] = {}
        for unit in units:
            if unit.is_partition:
                tables.setdefault(unit.table_name, {})[unit.id] = unit
            else:
                single.append(unit)
        left: list[Unit] = []
        for name, wanted in tables.items():
            found = await self._listed(name, wanted) if len(wanted) > MAX_SINGLE_READS else {}
            left += (replace(wanted[number], status=status) for number, status in found.items() if status != DONE)
            # A partition may have moved between two pages while they were read.
            single += (unit for number, unit in wanted.items() if number not in found)
        known = await gather_or_cancel(map(self._current, single))
        return left + [unit for unit in known if unit.status != DONE]

    async def _current(self, unit: Unit) -> Unit:
        """Return a unit with its current status; None if it no longer exists."""
        now = await self._reader.find(unit.kind, unit.id)
        if now is None:
            return replace(unit, status=None)
        return replace(unit, value=now.value, status=now.status or "of unknown status")

    async def _listed(self, name: TableName, wanted: Collection[int]) -> dict[int, str]:
        """Return the listed statuses of a table's partitions by ID."""
        db, table = name
        filters = PartitionFilter(db_name=like(db or ""), table_name=like(table or ""))
        found: dict[int, str] = {}
        seen = 0
        for number in range(1, MAX_PAGES + 1):
            page = await self._client.partitions_page(self._source_id, filters, number)
            found.update((row.id, row.status) for row in page.rows if row.id in wanted and row.status)
            seen += len(page.rows)
            if not page.rows or len(found) == len(wanted) or (page.total is not None and seen >= page.total):
                break
        return found
