"""The collector of timers: ListMmsTimers and ListMmsTimerLogs -> TimersStats.

Reads the list once per interval, and the logs of a timer only if it was due, its run has not ended, or an hour passed.
"""

from collections.abc import Mapping
from math import inf
from typing import Final

from msgspec.structs import replace

from exporter.collect.collector import CollectorContext, SourcesCollector
from exporter.collect.state.source_state import Cached, SourceState
from exporter.collect.state.timer_state import (
    KnownTimer,
    TimerState,
    newest_first,
    unexpected_in_logs,
    unexpected_in_timers,
)
from exporter.errors import UNAVAILABLE, ExporterError, MmsError, NotFound
from exporter.mms.listing import Listing
from exporter.mms.models.schedules import TimerHistory
from exporter.mms.models.statuses import STOPPED_STATUSES
from exporter.mms.models.timer_records import TimerLog

LIST: Final = "ListMmsTimers"
LOGS: Final = "ListMmsTimerLogs"
LOGS_PER_REFRESH: Final = 100
"""Limit of timers per account and refresh whose logs are read; the next refresh reads the others."""
SPREAD: Final = 10
"""From this number of sources on, their lists are spread over so many parts of the interval."""
MAX_ERRORS: Final = 3
"""After this many errors in one source, its other logs wait for the next refresh."""


class TimersCollector(SourcesCollector):
    """The collector of timers of one account."""

    name = "timers"

    def __init__(self, context: CollectorContext, interval: float, stale_after: float) -> None:
        super().__init__(context)
        self.interval = interval
        self.stale_after = stale_after
        self._logs_left = 0

    async def collect(self) -> list[ExporterError]:
        """Read the timers of every source."""
        self._logs_left = LOGS_PER_REFRESH
        return await super().collect()

    def cached(self, source: SourceState) -> Cached[TimerState]:
        """Return the timer state of a source."""
        return source.timers

    def note_reload(self) -> None:
        """Retry refused operations, without waiting for the interval."""
        if self.permissions.errors:
            for source in self.context.sources.by_id.values():
                source.timers.state = source.timers.state.invalidated()
        super().note_reload()

    async def read(self, source: SourceState, now: float) -> None:
        """Update the timers of `source`.

        A missing permission keeps the previous values until they are stale. Raises: MmsError for other failures.
        """
        state, source_id = source.timers.state, source.name.source_id
        if source.row is not None and source.row.status in STOPPED_STATUSES:
            state = state.paused(self.context.clock.wall(), self.context.account.time_zone)
        if state.is_current(now, self.interval):
            source.timers.state, source.timers.at = replace(state, confirmed_at=now), now
            return
        try:
            listing = await self.permissions.call(LIST, lambda: self.context.client.list_timers(source_id))
        except UNAVAILABLE:
            source.timers.state = state.invalidated()
            return
        rows, errors = listing.readable(LIST).rows, list[MmsError]()
        self._note(LIST, unexpected_in_timers(rows, self.context.account.time_zone))
        timers = await self._with_logs(source, state.listed(rows, self.context.clock.wall()), now, errors)
        if not listing.is_consistent:
            timers |= state.absent(timers, now - self.stale_after)
        is_settled = listing.is_consistent and not errors and not self._is_left(timers, now)
        source.timers.state = replace(
            state.with_timers(source.name, timers, listing.total or 0),
            listed_at=now - self._spread(source) if is_settled else -inf,
            confirmed_at=now if is_settled else state.confirmed_at,
        )
        source.timers.at = now
        if errors:
            raise errors[0]

    def _spread(self, source: SourceState) -> float:
        """Return how much sooner than after the interval the second list is due, so that not all are at once."""
        is_first = source.timers.state.stats is None
        is_spread = is_first and len(self.context.sources.by_id) >= SPREAD
        return self.interval * (source.name.source_id % SPREAD) / SPREAD if is_spread else 0.0

    def _unread(self, timers: Mapping[int, KnownTimer], now: float) -> list[KnownTimer]:
        """Return the timers whose logs are to be read, those first that have waited longest."""
        wall = self.context.clock.wall()
        unread = (each for each in newest_first(timers) if each.read_at < now and each.needs_logs(now, wall))
        return sorted(unread, key=lambda each: each.read_at)

    def _is_left(self, timers: Mapping[int, KnownTimer], now: float) -> bool:
        """Return whether the next refresh has to read logs, or to remove what is stale."""
        unread = self._unread(timers, now)
        return bool(unread) and (self._logs_left <= 0 or any(each.history is not None for each in unread))

    async def _with_logs(
        self, source: SourceState, listed: Mapping[int, KnownTimer], now: float, errors: list[MmsError]
    ) -> dict[int, KnownTimer]:
        """Return the listed timers after reading logs, and append to `errors`."""
        timers = {key: replace(timer, confirmed_at=now) for key, timer in listed.items()}
        oldest, is_available = now - self.stale_after, True
        for timer in self._unread(listed, now):
            logs = None
            if is_available and self._logs_left > 0 and len(errors) < MAX_ERRORS:
                self._logs_left -= 1
                try:
                    logs = await self._logs(source.name.source_id, timer.row.id)
                except UNAVAILABLE:
                    is_available = False
                except MmsError as error:
                    errors.append(error.without_frames())
            if logs is not None:
                history = TimerHistory.of(logs, self.context.account.time_zone)
                read_at = now if logs.is_consistent else -inf
                timers[timer.row.id] = replace(timer, history=history, read_at=read_at, confirmed_at=now)
            else:
                is_fresh = source.timers.state.is_fresh(timer, oldest)
                timers[timer.row.id] = timer if is_fresh else replace(timer, history=None)
        return {key: timer.scheduled(self.context.account.time_zone) for key, timer in timers.items()}

    async def _logs(self, source_id: int, timer_id: int) -> Listing[TimerLog] | None:
        """Return the newest logs of a timer; None if it no longer exists. Raises: MmsError."""
        client = self.context.client
        try:
            listing = await self.permissions.call(LOGS, lambda: client.newest_timer_logs(source_id, timer_id))
        except NotFound:
            return None
        self._note(LOGS, unexpected_in_logs(listing.rows, self.context.account.time_zone))
        return listing

    def _note(self, operation: str, fields: list[str]) -> None:
        if fields:
            self.context.observer.unexpected(operation, fields)
