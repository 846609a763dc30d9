"""State of a source's timers, kept between refreshes. Pure."""

from collections.abc import Container, Iterable, Mapping
from math import inf
from typing import Final, Self
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collect.snapshot import SourceName, TimersStats, TimerStats
from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS
from exporter.mms.models.schedules import TimerHistory, first_due
from exporter.mms.models.statuses import JobStatus, is_unknown
from exporter.mms.models.timer_records import Timer, TimerLog
from exporter.mms.models.times import first_due_after, unix_seconds

MAX_TIMERS: Final = 200
"""Limit of timers per source with series of their own and logs that are read: the newest."""
_ENDED: Final = (JobStatus.DONE, JobStatus.FAILED)


class KnownTimer(Struct, frozen=True, gc=False):
    """One timer; monotonic seconds, where no other clock is named."""

    row: Timer
    history: TimerHistory | None = None
    """None if its logs were not read, or are stale."""
    read_at: float = -inf
    """When its logs were read."""
    confirmed_at: float = -inf
    """When its row and its logs were last known to be current."""
    changed_at: float = -inf
    """Unix seconds at which another schedule, or that it or its source is no longer stopped, was noticed."""
    due_at: float | None = None
    """Unix seconds; as TimerStats."""

    def needs_logs(self, now: float, wall: float) -> bool:
        """Return whether its logs may have changed."""
        # Without another due time, only a person can have made it run.
        if self.history is None or now - self.read_at >= MAX_LIST_AGE_SECONDS:
            return True
        if self.history.runs.last_run_at is not None and self.history.runs.last_status not in _ENDED:
            return True
        return self.row.stopped is not True and (self.due_at is None or wall >= self.due_at)

    def updated(self, row: Timer, wall: float) -> Self:
        """Return the timer with a new row, noticed at `wall`."""
        if _schedule(row) == _schedule(self.row):
            return replace(self, row=row)
        return replace(self, row=row, changed_at=wall, read_at=-inf)

    def scheduled(self, zone: ZoneInfo) -> Self:
        """Return the timer with its due time."""
        due_at = None if self.history is None else first_due(self.row, self.history, zone, self.changed_at)
        return replace(self, due_at=due_at)


def _schedule(row: Timer) -> tuple[object, ...]:
    return row.schedule_type, row.value, row.stopped


class TimerState(Struct, frozen=True, gc=False):
    """State of a source's timers; empty at first."""

    stats: TimersStats | None = None
    timers: Mapping[int, KnownTimer] = field(default_factory=dict)
    listed_at: float = -inf
    """When the list is read again counts from this monotonic second."""
    confirmed_at: float = -inf
    """When all values were last known to be current, in monotonic seconds."""

    def is_current(self, now: float, interval: float) -> bool:
        """Return whether nothing needs to be read."""
        return now - self.listed_at < interval

    def invalidated(self) -> Self:
        """Return the same values, to be read again, logs included."""
        timers = {key: replace(timer, read_at=-inf) for key, timer in self.timers.items()}
        return replace(self, listed_at=-inf, timers=timers)

    def without_times(self) -> Self:
        """Return the timers without times, to be read again."""
        timers = {key: KnownTimer(timer.row, confirmed_at=timer.confirmed_at) for key, timer in self.timers.items()}
        state = replace(self, timers=timers, listed_at=-inf)
        return state if self.stats is None else state.with_timers(self.stats.name, timers, self.stats.total)

    def listed(self, rows: Iterable[Timer], wall: float) -> dict[int, KnownTimer]:
        """Return the timers of a list, with what is known of them."""
        return {
            row.id: self.timers[row.id].updated(row, wall) if row.id in self.timers else KnownTimer(row) for row in rows
        }

    def absent(self, listed: Container[int], oldest: float) -> dict[int, KnownTimer]:
        """Return the timers that an incomplete list may have missed, and that were current at `oldest`."""
        known = self.timers.items()
        return {key: timer for key, timer in known if key not in listed and self.is_fresh(timer, oldest)}

    def is_fresh(self, timer: KnownTimer, oldest: float) -> bool:
        """Return whether an unread timer was known to be current at `oldest`."""
        return max(timer.confirmed_at, self.confirmed_at) >= oldest

    def paused(self, wall: float, zone: ZoneInfo) -> Self:
        """Return the timers of a stopped source: what was due until `wall` is not missed."""
        timers = {key: replace(timer, changed_at=wall).scheduled(zone) for key, timer in self.timers.items()}
        return self if self.stats is None else self.with_timers(self.stats.name, timers, self.stats.total)

    def with_timers(self, name: SourceName, timers: Mapping[int, KnownTimer], total: int) -> Self:
        """Return the state with these timers; equal stats stay the same object."""
        shown = tuple(
            TimerStats(each.row, each.history.runs if each.history else None, each.due_at)
            for each in newest_first(timers)
        )
        stats = TimersStats(name, shown, max(total, len(timers)))
        return replace(self, timers=timers, stats=self.stats if self.stats == stats else stats)


def newest_first(timers: Mapping[int, KnownTimer]) -> list[KnownTimer]:
    """Return the newest timers, highest id first, at most MAX_TIMERS."""
    return sorted(timers.values(), key=lambda timer: timer.row.id, reverse=True)[:MAX_TIMERS]


def unexpected_in_timers(rows: Iterable[Timer], zone: ZoneInfo) -> list[str]:
    """Return the API names of fields of timers with unknown or unparsable values."""
    found = []
    for row in rows:
        is_known = row.schedule_type is not None and not is_unknown(row.schedule_type)
        has_no_time = is_known and first_due_after(row.schedule_type, row.value, 0.0, zone) is None
        found += ["scheduleType"] if is_unknown(row.schedule_type) else []
        found += ["value"] if row.value is not None and has_no_time else []
        found += ["createTime"] if _is_no_time(row.create_time, zone) else []
    return found


def unexpected_in_logs(logs: Iterable[TimerLog], zone: ZoneInfo) -> list[str]:
    """Return the API names of fields of logs with unknown or unparsable values."""
    found = []
    for log in logs:
        found += ["status"] if is_unknown(log.status) else []
        found += ["createTime"] if _is_no_time(log.create_time, zone) else []
    return found


def _is_no_time(text: str | None, zone: ZoneInfo) -> bool:
    return text is not None and unix_seconds(text, zone) is None
