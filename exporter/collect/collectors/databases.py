"""The collector of databases: ListMmsDbs -> DatabasesStats, read only for sources whose row changed."""

import asyncio
from typing import Final

from msgspec.structs import replace

from exporter.collect.collector import CollectorContext, SourcesCollector
from exporter.collect.state.database_state import DatabaseState
from exporter.collect.state.source_state import Cached, SourceState
from exporter.errors import UNAVAILABLE

OPERATION: Final = "ListMmsDbs"
MAX_ROWS_IN_LOOP: Final = 500
"""Longer lists are processed in a thread, so that scrapes are not delayed."""


class DatabasesCollector(SourcesCollector):
    """The collector of databases of one account."""

    name = "databases"

    def __init__(self, context: CollectorContext, max_per_source: int, stale_after: float) -> None:
        super().__init__(context)
        self.max_per_source = max_per_source
        self.stale_after = stale_after

    def cached(self, source: SourceState) -> Cached[DatabaseState]:
        """Return the database state of a source."""
        return source.databases

    async def read(self, source: SourceState, now: float) -> None:
        """Update the databases of `source`.

        A missing permission keeps the previous values until they are stale. Raises: MmsError for other failures.
        """
        previous = source.databases.state
        if source.row is None and previous.stats is not None and now - source.databases.at < self.stale_after / 2:
            # Without its row, each refresh would read the list.
            source.databases.state = previous.invalidated()
            return
        try:
            is_current = previous.is_current(source.row, now)
            state = replace(previous, oldest_at=now) if is_current else await self._next_state(source, now)
        except UNAVAILABLE:
            source.databases.state = previous.invalidated()
        else:
            source.databases.state, source.databases.at = state, now

    async def _next_state(self, source: SourceState, now: float) -> DatabaseState:
        source_id, previous = source.name.source_id, source.databases.state
        listing = await self.permissions.call(OPERATION, lambda: self.context.client.list_databases(source_id))
        known = previous if now - previous.oldest_at <= self.stale_after else replace(previous, stats=None)
        arguments = source.name, source.row, listing.readable(OPERATION), self.max_per_source, now
        if len(listing.rows) > MAX_ROWS_IN_LOOP:
            state = await asyncio.to_thread(known.updated, *arguments)
        else:
            state = known.updated(*arguments)
        if state.is_lasting:
            self.context.observer.unexpected(OPERATION, state.differing)
        return state
