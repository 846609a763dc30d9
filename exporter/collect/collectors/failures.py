"""The collector of failures: ListMmsTables and ListMmsPartitions -> FailuresStats, read only when counts change.

The rows of data sources count failures; the lists name them. Newest means the highest id: the API has no failure time.
Without permission to list partitions, those of failed jobs of kind Partitions are looked up one by one.
"""

from typing import Final

from msgspec.structs import replace

from exporter.collect.collector import CollectorContext, SourcesCollector
from exporter.collect.snapshot import FailedUnit, FailedUnits
from exporter.collect.state.failure_state import (
    FAILED_COUNTS,
    FailureState,
    Kind,
    KindState,
    ListedFailures,
    Lookups,
    max_list_age,
    unit_set,
)
from exporter.collect.state.source_state import Cached, SourceState
from exporter.errors import UNAVAILABLE, ExporterError, MmsError, NotFound
from exporter.mms.models.records import Partition, Table
from exporter.mms.models.statuses import PartitionStatus, TableStatus, is_unknown
from exporter.mms.protocol import PartitionFilter, TableFilter

LOOKUPS_PER_REFRESH: Final = 50
"""Limit of single partition lookups per account."""


class FailuresCollector(SourcesCollector):
    """The collector of failures of one account."""

    name = "failures"

    def __init__(self, context: CollectorContext, max_per_source: int, stale_after: float) -> None:
        super().__init__(context)
        self.max_per_source = max_per_source
        self.stale_after = stale_after
        self._lookups_left = 0

    async def collect(self) -> list[ExporterError]:
        """Read the failures of every source."""
        self._lookups_left = LOOKUPS_PER_REFRESH
        return await super().collect()

    def cached(self, source: SourceState) -> Cached[FailureState]:
        """Return the failure state of a source."""
        return source.failures

    async def read(self, source: SourceState, now: float) -> None:
        """Update the failures of `source`.

        A missing permission keeps the previous values until they are stale. Raises: MmsError for other failures, after
        both kinds were tried.
        """
        kinds: dict[Kind, KindState] = {}
        errors: list[MmsError] = []
        for kind in FAILED_COUNTS:
            state = source.failures.state.kinds.get(kind)
            try:
                state = await self._current(kind, source, state, now)
            except UNAVAILABLE:
                state = state and state.invalidated()
            except MmsError as error:
                errors.append(error.without_frames())
            if state is not None and now - state.confirmed_at <= self.stale_after:
                kinds[kind] = state
        source.failures.state = source.failures.state.with_kinds(kinds, source.name)
        source.failures.at = max((state.confirmed_at for state in kinds.values()), default=source.failures.at)
        if errors:
            raise errors[0]

    async def _current(
        self, kind: Kind, source: SourceState, previous: KindState | None, now: float
    ) -> KindState | None:
        """Return the failures of one kind now."""
        if source.row is None:  # without a row, only known failures are worth a list
            if previous is None or not previous.failures.total:
                return previous
            count = previous.count
        else:
            count = FAILED_COUNTS[kind](source.row)
            if count == 0:
                return KindState(FailedUnits((), 0), 0, now, is_stable=True)
            max_age = max_list_age(source.name.source_id)
            if previous is not None and previous.is_unchanged(count, now, max_age):
                return replace(previous, confirmed_at=now)
        list_failed = self._failed_tables if kind == "table" else self._failed_partitions
        try:
            listed = await list_failed(source, count)
        except UNAVAILABLE:
            if kind == "table":
                raise
            return await self._looked_up(source, previous, count, now)
        return KindState.from_listing(listed, self.max_per_source, count, now, previous)

    async def _failed_tables(self, source: SourceState, count: int | None) -> ListedFailures:
        filters = TableFilter(status=(TableStatus.FAILED,))
        listing = await self.permissions.call(
            "ListMmsTables",
            lambda: self.context.client.newest_tables(source.name.source_id, filters, self.max_per_source),
        )
        failed = [_failed_table(row) for row in listing.rows if _is_failed(row)]
        return _failed_units(failed, listing.total, count), listing.is_consistent

    async def _failed_partitions(self, source: SourceState, count: int | None) -> ListedFailures:
        filters = PartitionFilter(status=(PartitionStatus.FAILED,))
        listing = await self.permissions.call(
            "ListMmsPartitions",
            lambda: self.context.client.newest_partitions(source.name.source_id, filters, self.max_per_source),
        )
        failed = [_failed_partition(row) for row in listing.rows if _is_failed(row)]
        return _failed_units(failed, listing.total, count), listing.is_consistent

    async def _looked_up(
        self, source: SourceState, previous: KindState | None, count: int | None, now: float
    ) -> KindState:
        """Return the failed partitions of failed jobs, looked up one by one."""
        lookups = source.failures.state.lookups
        lookups.update_jobs({key: job for key, job in source.jobs.state.failed.items() if job.partitions})
        if previous is not None and (count or 0) < (previous.count or 0):
            lookups.invalidate()
        for partition_id in lookups.due(self.max_per_source):
            if self._lookups_left <= 0:
                break
            await self._look_up(source.name.source_id, partition_id, lookups)
        found = lookups.failed()[: self.max_per_source]
        # Never stable: the next refresh continues the lookups.
        failures = _failed_units(found, count, count)
        return KindState(failures, count, now, is_stable=False, listed_at=now, units=unit_set(failures))

    async def _look_up(self, source_id: int, partition_id: int, lookups: Lookups) -> None:
        self._lookups_left -= 1
        try:
            row = await self.permissions.call(
                "GetMmsPartition", lambda: self.context.client.get_partition(source_id, partition_id)
            )
        except NotFound:
            lookups.add(partition_id, None)
        else:
            # An unknown status is not stored: the next refresh looks again.
            if not is_unknown(row.status):
                lookups.add(partition_id, _failed_partition(row) if _is_failed(row) else None)


def _failed_units(newest: list[FailedUnit], total: int | None, count: int | None) -> FailedUnits:
    """Return the failures; `count`, of the row, stands in for a missing total."""
    stated = total if total is not None else count
    return FailedUnits(tuple(newest), max(len(newest), stated or 0))


def _is_failed(row: Table | Partition) -> bool:
    # The status may have changed since the filter matched.
    return row.status in (None, "FAILED")


def _failed_table(row: Table) -> FailedUnit:
    return FailedUnit(row.db_name, row.name, None, row.dst_project_name, row.dst_schema_name, row.dst_name)


def _failed_partition(row: Partition) -> FailedUnit:
    destination = row.dst_project_name, row.dst_schema_name, row.dst_table_name
    return FailedUnit(row.db_name, row.table_name, row.value, *destination, id=row.id)
