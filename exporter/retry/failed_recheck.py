"""Which of what was planned is FAILED still, asked just before it is sent, in few calls. Knows nothing of jobs.

A plan may wait for its person's answer for hours, and a run that is taken up again was planned long ago.
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
"""For how long what was read counts as being so."""
MAX_ASKED_ONE_BY_ONE: Final = 10
"""Partitions of one table, or tables; of more, the list of what is FAILED is read."""


@dataclass(frozen=True, slots=True)
class _Reading:
    ids: frozenset[int]
    ended_at: float


class FailedRecheck:
    """Tells what of a batch is FAILED still. Lists that it reads serve the batches that follow soon after."""

    def __init__(self, inventory: FailedUnitReader, clock: Clock, planned_at: float | None) -> None:
        """`planned_at` is when the plan was read, in monotonic seconds; None where that was an earlier process."""
        self._inventory = inventory
        self._clock = clock
        self._planned_at = planned_at
        self._read: dict[tuple[str | None, str | None], _Reading] = {}

    async def of(self, batch: Batch) -> Batch:
        """Return a batch without what is not FAILED any more. Raises: MmsError."""
        if self._planned_at is not None and self._is_fresh(self._planned_at):
            return batch
        places: dict[tuple[str | None, str | None], list[Unit]] = {}
        for unit in batch.units():
            places.setdefault((unit.db, unit.table if unit.is_partition else None), []).append(unit)
        found = await asyncio.gather(*(self._failed(db, table, units) for (db, table), units in places.items()))
        # A batch holds partitions or tables, never both, so that ids are enough.
        failed = frozenset[int]().union(*found)
        return batch.without(lambda unit: unit.id not in failed)

    def _is_fresh(self, read_at: float) -> bool:
        return self._clock.monotonic() - read_at <= FRESH_SECONDS

    async def _failed(self, db: str | None, table: str | None, units: Sequence[Unit]) -> frozenset[int]:
        """Return the ids of what is FAILED: of `units` at least, which are partitions of `table`, or tables of `db`."""
        if len(units) <= MAX_ASKED_ONE_BY_ONE:
            are_failed = await asyncio.gather(*map(self._is_failed, units))
            return frozenset(unit.id for unit, is_failed in zip(units, are_failed, strict=True) if is_failed)
        reading = self._read.get((db, table))
        if reading is None or not self._is_fresh(reading.ended_at):
            listing = (
                self._inventory.failed_tables(db) if table is None else self._inventory.failed_partitions(db, table)
            )
            reading = _Reading(frozenset(unit.id for unit in await listing), self._clock.monotonic())
            self._read[db, table] = reading
        return reading.ids

    async def _is_failed(self, unit: Unit) -> bool:
        try:
            now = await (self._inventory.partition(unit.id) if unit.is_partition else self._inventory.table(unit.id))
        except NotFound:
            return False
        return now.is_failed
