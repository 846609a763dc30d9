"""The collector of data sources: ListMmsDataSources -> SourceStats."""

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Final

from exporter.collect.collector import CollectorContext
from exporter.collect.snapshot import SourceName, SourceStats
from exporter.errors import ExporterError, SelectionUnmatched
from exporter.mms.models.records import DataSource
from exporter.mms.models.statuses import is_unknown
from exporter.mms.models.times import unix_seconds
from exporter.mms.source_selection import is_selected, selection_problems

OPERATION: Final = "ListMmsDataSources"
ROWS_PER_SLICE: Final = 200
"""Rows processed before yielding to the event loop: thousands at once would delay scrapes."""


@dataclass(frozen=True, slots=True)
class DataSourcesCollector:
    """Lists the data sources of an account that its configuration selects."""

    name: ClassVar[str] = "datasources"

    context: CollectorContext
    max_unlisted_seconds: float
    """A source missing from incomplete lists for longer than this is removed."""

    async def collect(self) -> list[ExporterError]:
        """Update the source states from a new listing."""
        is_listed = False
        unmatched: list[ExporterError] = []
        try:
            errors = await self.context.fan_out.run_guarded(self._list(unmatched))
            is_listed = not errors
        finally:
            if not is_listed:
                self.context.sources.mark_unlisted()
        return [*errors, *unmatched]

    def skip(self) -> None:
        """Record that no source was listed."""
        self.context.sources.mark_unlisted()

    def note_reload(self) -> None:
        """Do nothing: refused listings are not cached."""

    async def _list(self, unmatched: list[ExporterError]) -> None:
        # If the selection matches nothing, the reasons are appended to `unmatched`.
        context, sources = self.context, self.context.sources
        listing = (await context.client.list_data_sources()).readable(OPERATION)
        selection = context.account.sources
        listed: dict[int, SourceStats] = {}
        is_any_selected = False
        for start in range(0, len(listing.rows), ROWS_PER_SLICE):
            rows = listing.rows[start : start + ROWS_PER_SLICE]
            selected = [row for row in rows if is_selected(row, selection)]
            is_any_selected = is_any_selected or bool(selected)
            owned = (row for row in selected if context.shard.owns(context.account.name, row.id))
            listed |= {row.id: self._stats(row) for row in owned}
            await asyncio.sleep(0)
        if listing.rows and listing.is_consistent and not is_any_selected:
            # In a thread: looking for near names among thousands takes long.
            problems = await asyncio.to_thread(selection_problems, selection, listing.rows)
            unmatched += [SelectionUnmatched(*each) for each in problems]
        sources.update_from_listing(
            listed,
            context.clock.monotonic(),
            is_complete=listing.is_consistent,
            max_unlisted_seconds=self.max_unlisted_seconds,
        )

    def _stats(self, row: DataSource) -> SourceStats:
        zone = self.context.account.time_zone
        stats = SourceStats(
            name=SourceName(self.context.account.name, row.id, row.name or ""),
            row=row,
            created_at=unix_seconds(row.create_time, zone),
            synced_at=unix_seconds(row.last_update_time, zone),
        )
        if unexpected := _unexpected_fields(stats):
            self.context.observer.unexpected(OPERATION, unexpected)
        return stats


def _unexpected_fields(stats: SourceStats) -> list[str]:
    """Return the API names of fields with unknown or unparsable values."""
    row = stats.row
    is_unexpected = {
        "status": is_unknown(row.status),
        "scanStatus": is_unknown(row.scan_status),
        "createTime": row.create_time is not None and stats.created_at is None,
        "lastUpdateTime": row.last_update_time is not None and stats.synced_at is None,
    }
    return [field for field, unexpected in is_unexpected.items() if unexpected]
