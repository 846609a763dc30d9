"""The collector of metadata scans: GetMmsFetchMetadataJob and ListMmsPartitions -> ScanStats.

Reads the progress while a scan runs, and the number of outdated partitions after it.
"""

from typing import Final

from exporter.collect.collector import CollectorContext, SourcesCollector
from exporter.collect.state.scan_state import ScanState
from exporter.collect.state.source_state import Cached, SourceState
from exporter.errors import UNAVAILABLE, MmsError, NotFound
from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import ScanStatus
from exporter.mms.protocol import PartitionFilter

PROGRESS: Final = "GetMmsFetchMetadataJob"
OUTDATED: Final = "ListMmsPartitions"
_CHANGED: Final = PartitionFilter(updated=True)
_ROWS: Final = 10
"""Rows that show whether MMS applied the filter."""


class ScanCollector(SourcesCollector):
    """The collector of metadata scans of one account."""

    name = "scan"

    def __init__(self, context: CollectorContext, idle_interval: float, stale_after: float) -> None:
        super().__init__(context)
        self.idle_interval = idle_interval
        self.stale_after = stale_after

    def cached(self, source: SourceState) -> Cached[ScanState]:
        """Return the scan state of a source."""
        return source.scan

    async def read(self, source: SourceState, now: float) -> None:
        """Update the scan of `source`.

        A missing permission keeps the previous values until they are stale. Raises: MmsError for other failures, after
        both operations were tried.
        """
        row = source.row
        if row is None:
            return
        state = source.scan.state.seen(row)
        errors: list[MmsError] = []
        for update in (self._with_progress, self._with_outdated):
            try:
                state = await update(state, row, now)
            except UNAVAILABLE:
                continue
            except MmsError as error:
                errors.append(error.without_frames())
        source.scan.state = state.with_stats(source.name, now - self.stale_after)
        source.scan.at = max(state.progress_at, state.outdated_at)
        if errors:
            raise errors[0]

    async def _with_progress(self, state: ScanState, row: DataSource, now: float) -> ScanState:
        """Return the state with the progress of a running scan. Raises: MmsError."""
        scan_id = row.scan_id
        if scan_id is None or row.scan_status != ScanStatus.DOING:
            return state.with_progress(None, now)
        try:
            scan = await self.permissions.call(PROGRESS, lambda: self.context.client.get_scan(row.id, scan_id))
        except NotFound:
            return state.with_progress(None, now)
        return state.with_progress(scan.ratio, now)

    async def _with_outdated(self, state: ScanState, row: DataSource, now: float) -> ScanState:
        """Return the state with the number of outdated partitions. Raises: MmsError."""
        if state.is_current(row, now, self.idle_interval):
            return state.confirmed(now)
        page = await self.permissions.call(
            OUTDATED, lambda: self.context.client.partitions_page(row.id, _CHANGED, 1, page_size=_ROWS)
        )
        # UNVERIFIED: that MMS applies the filter. A server that ignores it counts all partitions.
        is_ignored = any(each.updated is not True for each in page.rows)
        if is_ignored:
            self.context.observer.unexpected(OUTDATED, ["updated"])
        return state.with_outdated(None if is_ignored else page.total, row, now)
