"""State of a source's metadata scans, kept between refreshes. Pure."""

from math import inf
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from exporter.collect.snapshot import ScanStats, SourceName
from exporter.collect.state.failure_state import max_list_age
from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import ScanStatus

ScanKey = tuple[int | None, str | None, str | None]
"""Id and status of the last scan, and when one last succeeded."""


class ScanState(Struct, frozen=True, gc=False):
    """State of a source's metadata scans; empty at first."""

    stats: ScanStats | None = None
    scan_id: int | None = None
    """The scan that `progress` is about."""
    progress: float | None = None
    progress_at: float = -inf
    """When the progress was last read, in monotonic seconds."""
    outdated: int | None = None
    outdated_at: float = -inf
    """When the number was last read or confirmed, in monotonic seconds."""
    read_at: float = -inf
    """When the number was last read, in monotonic seconds; -inf if no row confirms it."""
    scan: ScanKey | None = None
    """Of the row when the number was read."""
    counts: tuple[int | None, ...] = ()
    """Partitions by status in that row: they change when partitions are migrated."""
    has_moved: bool = False
    """Whether the counts have changed since then, even if they are the same again."""

    def seen(self, row: DataSource) -> Self:
        """Return the state after a row was listed."""
        progress = self.progress if self.scan_id == row.scan_id else None
        has_moved = self.has_moved or self.counts != _counts(row)
        return replace(self, scan_id=row.scan_id, progress=progress, has_moved=has_moved)

    def is_current(self, row: DataSource, now: float, idle_seconds: float) -> bool:
        """Return whether the row confirms the number of outdated partitions."""
        if self.read_at == -inf or (self.scan != scan_key(row) and row.scan_status != ScanStatus.DOING):
            return False
        # Without a scan, the number can only fall.
        may_have_fallen = self.has_moved and self.outdated != 0
        max_age = max_list_age(row.id)
        return now - self.read_at < (min(idle_seconds, max_age) if may_have_fallen else max_age)

    def with_outdated(self, outdated: int | None, row: DataSource, now: float) -> Self:
        """Return the state after the number was read."""
        read = replace(self, outdated=outdated, outdated_at=now, read_at=now)
        return replace(read, scan=scan_key(row), counts=_counts(row), has_moved=False)

    def with_progress(self, progress: float | None, now: float) -> Self:
        """Return the state after the progress was read, or no scan runs."""
        return replace(self, progress=progress, progress_at=now)

    def confirmed(self, now: float) -> Self:
        """Return the state after a row confirmed the number."""
        return replace(self, outdated_at=now)

    def with_stats(self, name: SourceName, oldest: float) -> Self:
        """Return the state with new stats, without values older than `oldest`."""
        progress = self.progress if self.progress_at >= oldest else None
        outdated = self.outdated if self.outdated_at >= oldest else None
        stats = ScanStats(name, progress, outdated)
        return replace(self, stats=self.stats if self.stats == stats else stats)

    def invalidated(self) -> Self:
        """Return the same values, to be read again."""
        return replace(self, read_at=-inf)


def scan_key(row: DataSource) -> ScanKey:
    """Return what differs in the row after another scan."""
    return row.scan_id, row.scan_status, row.last_update_time


def _counts(row: DataSource) -> tuple[int | None, ...]:
    return row.partitions_doing_num, row.partitions_done_num, row.partitions_failed_num
