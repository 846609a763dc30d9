"""When a timer ran, is due and is late, by its row and its logs. The one place that decides it."""

from math import inf
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from exporter.mms.listing import Listing
from exporter.mms.models.statuses import STOPPED_STATUSES, JobStatus
from exporter.mms.models.timer_records import Timer, TimerLog
from exporter.mms.models.times import first_due_after, unix_seconds

SLACK_SECONDS: Final = 60.0
"""A run this long before a due time counts for it: the clocks of MMS and of its log can differ."""
LATE_SECONDS: Final = 1800
"""A run is late from then on: 3 times the default of `timers.interval`, within which the exporter sees a run."""


class TimerRuns(Struct, frozen=True, gc=False):
    """What the logs of a timer say; times in Unix seconds."""

    last_run_at: float | None
    """When it created a job, or failed to, for the last time; None if no log says so."""
    last_status: JobStatus | None
    """Status of that run."""
    last_skip_at: float | None
    """When it last created no job because earlier work was left; None if no log says so."""


class TimerHistory(Struct, frozen=True, gc=False):
    """What the read logs of one timer say."""

    runs: TimerRuns
    covers_since: float | None
    """Unix seconds from which on no run is missing; None if all logs were read, or none has a time."""

    @classmethod
    def of(cls, logs: Listing[TimerLog], zone: ZoneInfo) -> "TimerHistory":
        """Return what the newest logs say."""
        timed = sorted(
            (at, log.id, log.is_skip, log) for log in logs.rows if (at := unix_seconds(log.create_time, zone))
        )
        is_whole = bool(logs.total) and len(logs.rows) >= (logs.total or 0)
        ran, skipped = ([each for each in timed if each[2] == is_skip] for is_skip in (False, True))
        runs = TimerRuns(
            last_run_at=ran[-1][0] if ran else None,
            last_status=ran[-1][3].status if ran else None,
            last_skip_at=skipped[-1][0] if skipped else None,
        )
        return cls(runs, None if is_whole or not timed else timed[0][0] - SLACK_SECONDS)


def first_due(row: Timer, history: TimerHistory, zone: ZoneInfo, changed_at: float = -inf) -> float | None:
    """Return when a timer is first due after its last run, in Unix seconds.

    `changed_at`: when its schedule changed, or when it or its data source was started again. None if it is stopped, or
    if it is unknown whether it is, what its schedule is, or since when it runs.
    """
    if row.stopped is not False:
        return None
    last_run_at = history.runs.last_run_at
    since = history.covers_since if last_run_at is None else last_run_at + SLACK_SECONDS
    since = unix_seconds(row.create_time, zone) if since is None else since
    if since is None:
        return None
    return first_due_after(row.schedule_type, row.value, max(since, changed_at), zone)


def is_late(due_at: float | None, source_status: str | None, now: float) -> bool:
    """Return whether a due time passed LATE_SECONDS ago without a run.

    A stopped data source is a decision: its timers are not late.
    """
    return due_at is not None and source_status not in STOPPED_STATUSES and now - due_at > LATE_SECONDS
