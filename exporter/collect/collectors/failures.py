"""The collector of failures: ListMmsTables and ListMmsPartitions -> FailuresFigures, asked only when counts move.

The rows of data sources count what failed; the lists are read to name it. Newest means the highest id: no field of the
API tells when something failed. Where partitions may not be listed, those of failed jobs of kind Partitions are looked
up one by one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from exporter.collect.collector import CollectorContext, SourcesCollector
from exporter.collect.permissions import Permissions
from exporter.collect.snapshot import FailedUnit, FailedUnits
from exporter.collect.state.failure_state import FailureState, Kind, KindState, ListedFailures, Lookups
from exporter.collect.state.source_state import Cached, SourceState
from exporter.errors import ExporterError, MmsError, NotFound, PermissionRefused
from exporter.mms.client import Client
from exporter.mms.models import PARTITION_STATUSES, DataSource, Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter

FAILED: Final = "FAILED"
LOOKUPS_PER_REFRESH: Final = 50
"""Partitions that one refresh of an account looks up one by one."""
_COUNTS: Final[Mapping[Kind, Callable[[DataSource], int | None]]] = {
    "table": lambda row: row.tables_failed_num,
    "partition": lambda row: row.partitions_failed_num,
}


@dataclass(slots=True)
class FailuresReader:
    """Reads the failures of an account's sources."""

    client: Client
    permissions: Permissions
    max_per_source: int
    stale_after: float
    lookups_left: int = 0

    def reading(self, source: SourceState) -> Cached[FailureState]:
        """Return what is kept of a source's failures."""
        return source.failures

    async def read(self, source: SourceState, now: float) -> None:
        """Keep in `source` what failed, as of `now`.

        What is not permitted counts as nothing that could be read: its last values stay until they are stale. Raises:
        MmsError for anything else that could not be read, after the other kind was.
        """
        kinds: dict[Kind, KindState] = {}
        errors: list[MmsError] = []
        for kind in _COUNTS:
            known = source.failures.memory.kinds.get(kind)
            try:
                known = await self._current(kind, source, known, now)
            except PermissionRefused:
                known = known and known.doubted()
            except MmsError as error:
                errors.append(error.with_traceback(None))  # whose frames would hold it and all of the answer
            if known is not None and now - known.confirmed_at <= self.stale_after:
                kinds[kind] = known
        source.failures.memory = source.failures.memory.with_kinds(kinds, source.name)
        source.failures.at = max((known.confirmed_at for known in kinds.values()), default=source.failures.at)
        if errors:
            raise errors[0]

    async def _current(self, kind: Kind, source: SourceState, before: KindState | None, now: float) -> KindState | None:
        """Return the failures of one kind as they are now; `before` where only a row could say."""
        if source.row is None:
            if before is None or not before.failures.total:
                return before
            count = before.count
        else:
            count = _COUNTS[kind](source.row)
            if count == 0:
                return KindState(FailedUnits((), 0), 0, now, is_settled=True)
            if before is not None and before.is_unmoved(count, now):
                return replace(before, confirmed_at=now)
        if kind == "table":
            listed = await self._failed_tables(source, count)
            return KindState.listed(listed, self.max_per_source, count, now, before)
        try:
            listed = await self._failed_partitions(source, count)
            return KindState.listed(listed, self.max_per_source, count, now, before)
        except PermissionRefused:
            return await self._looked_up(source, before, count, now)

    async def _failed_tables(self, source: SourceState, count: int | None) -> ListedFailures:
        listing = await self.permissions.ask(
            "ListMmsTables",
            lambda: self.client.newest_tables(
                source.name.source_id, TableFilter(status=(FAILED,)), self.max_per_source
            ),
        )
        failed = [_failed_table(row) for row in listing.rows if _is_failed(row)]
        return _failures(failed, listing.total, count), listing.is_consistent

    async def _failed_partitions(self, source: SourceState, count: int | None) -> ListedFailures:
        listing = await self.permissions.ask(
            "ListMmsPartitions",
            lambda: self.client.newest_partitions(
                source.name.source_id, PartitionFilter(status=(FAILED,)), self.max_per_source
            ),
        )
        failed = [_failed_partition(row) for row in listing.rows if _is_failed(row)]
        return _failures(failed, listing.total, count), listing.is_consistent

    async def _looked_up(
        self, source: SourceState, before: KindState | None, count: int | None, now: float
    ) -> KindState:
        """Return the failed partitions of failed jobs, as far as they are looked up; never settled, so as to go on."""
        lookups = source.failures.memory.lookups
        lookups.note_jobs({key: job for key, job in source.jobs.memory.failed.items() if job.partitions})
        if before is not None and (count or 0) < (before.count or 0):
            lookups.doubt()
        for partition_id in lookups.due(self.max_per_source):
            if self.lookups_left <= 0:
                break
            await self._look_up(source.name.source_id, partition_id, lookups)
        found = lookups.failed()[: self.max_per_source]
        return KindState(_failures(found, count, count), count, now, is_settled=False)

    async def _look_up(self, source_id: int, partition_id: int, lookups: Lookups) -> None:
        self.lookups_left -= 1
        try:
            row = await self.permissions.ask(
                "GetMmsPartition", lambda: self.client.get_partition(source_id, partition_id)
            )
        except NotFound:
            lookups.add(partition_id, None)
        else:
            # A status that nobody knows may be known in the next refresh.
            if row.status is None or row.status.upper() in PARTITION_STATUSES:
                lookups.add(partition_id, _failed_partition(row) if _is_failed(row) else None)


class FailuresCollector:
    """The collector of failures of one account."""

    name = "failures"

    def __init__(self, means: CollectorContext, max_per_source: int, stale_after: float) -> None:
        permissions = Permissions(means.clock.monotonic)
        self._reader = FailuresReader(means.client, permissions, max_per_source, stale_after)
        self._collector = SourcesCollector(self.name, self._reader, means, permissions)

    async def collect(self) -> list[ExporterError]:
        """Read the failures of every source."""
        self._reader.lookups_left = LOOKUPS_PER_REFRESH
        return await self._collector.collect()

    def give_up(self) -> None:
        """Note that no source was read."""
        self._collector.give_up()

    def note_reload(self) -> None:
        """Ask again for what was refused."""
        self._collector.note_reload()


def _failures(newest: list[FailedUnit], total: int | None, count: int | None) -> FailedUnits:
    """Return what failed; of a number that neither the list nor the row says, as many as are named."""
    said = total if total is not None else count
    return FailedUnits(tuple(newest), max(len(newest), said or 0))


def _is_failed(row: Table | Partition) -> bool:
    """Tell whether a row still is in the state it was listed for."""
    return row.status is None or row.status.upper() == FAILED


def _failed_table(row: Table) -> FailedUnit:
    return FailedUnit(row.db_name, row.name, None, row.dst_project_name, row.dst_schema_name, row.dst_name)


def _failed_partition(row: Partition) -> FailedUnit:
    place = row.dst_project_name, row.dst_schema_name, row.dst_table_name
    return FailedUnit(row.db_name, row.table_name, row.value, *place)
