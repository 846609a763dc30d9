"""Filters a batch to the units that are still FAILED, just before it is sent.

A plan may wait for hours for its confirmation, and a resumed run was planned even earlier. Knows nothing of jobs.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from exporter.clock import Clock
from exporter.errors import NotFound
from exporter.retry.batches import Batch
from exporter.retry.failed_units import FailedUnitReader
from exporter.retry.units import Unit

FRESH_SECONDS: Final = 60.0
"""How long a read status counts as current."""
MAX_SINGLE_READS: Final = 10
"""Partitions of one table, or tables, that are read one by one; for more, the FAILED list is read."""


@dataclass(frozen=True, slots=True)
class _FailedIds:
    ids: frozenset[int]
    ended_at: float


class FailedRecheck:
    """Rechecks batches; caches the lists it reads for FRESH_SECONDS."""

    def __init__(self, reader: FailedUnitReader, clock: Clock, planned_at: float | None) -> None:
        """Store the monotonic time of the plan, None if unknown."""
        self._reader = reader
        self._clock = clock
        self._planned_at = planned_at
        self._read: dict[tuple[str | None, str | None], _FailedIds] = {}

    async def still_failed(self, batch: Batch) -> Batch:
        """Return the batch without units that are no longer FAILED. Raises: MmsError."""
        if self._planned_at is not None and self._is_fresh(self._planned_at):
            return batch
        places: dict[tuple[str | None, str | None], list[Unit]] = {}
        for unit in batch.units():
            places.setdefault((unit.db, unit.table if unit.is_partition else None), []).append(unit)
        found = await asyncio.gather(*(self._failed(db, table, units) for (db, table), units in places.items()))
        # A batch has either partitions or tables, so IDs are unique.
        failed = frozenset[int]().union(*found)
        return batch.without(lambda unit: unit.id not in failed)

    def _is_fresh(self, read_at: float) -> bool:
        return self._clock.monotonic() - read_at <= FRESH_SECONDS

    async def _failed(self, db: str | None, table: str | None, units: Sequence[Unit]) -> frozenset[int]:
        """Return the IDs of FAILED units, including all in `units`."""
        if len(units) <= MAX_SINGLE_READS:
            are_failed = await asyncio.gather(*map(self._is_failed, units))
            return frozenset(unit.id for unit, is_failed in zip(units, are_failed, strict=True) if is_failed)
        failed = self._read.get((db, table))
        if failed is None or not self._is_fresh(failed.ended_at):
            listing = self._reader.failed_tables(db) if table is None else self._reader.failed_partitions(db, table)
            failed = _FailedIds(frozenset(unit.id for unit in await listing), self._clock.monotonic())
            self._read[db, table] = failed
        return failed.ids

    async def _is_failed(self, unit: Unit) -> bool:
        try:
            now = await (self._reader.partition(unit.id) if unit.is_partition else self._reader.table(unit.id))
        except NotFound:
            return False
        return now.is_failed
