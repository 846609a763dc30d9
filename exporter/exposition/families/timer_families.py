"""Rows of the metric table for the timers of a source."""

from collections.abc import Iterable
from typing import Final

from exporter.collect.snapshot import TimersStats, TimerStats
from exporter.exposition.families.metric_types import Family, MetricGroup, Sample, in_status, one

_TIMERS: Final = "of ListMmsTimers."
_LOGS: Final = "of ListMmsTimerLogs."


def _status(timer: TimerStats) -> Iterable[Sample]:
    return in_status(timer.runs.last_status) if timer.runs else ()


TIMER: Final[MetricGroup[TimersStats]] = MetricGroup(
    part="timers",
    members=lambda part: (((str(each.row.id), each.row.name), each) for each in part.timers),
    member_labels=("timer_id", "timer"),
    families=(
        Family(
            "mms_timer_info",
            "A timer, which is a scheduled migration; the value is always 1. API fields: srcDbName, scheduleType, "
            f"value {_TIMERS}",
            lambda timer: [((timer.row.src_db_name, timer.row.schedule_type, timer.row.value), 1)],
            ("src_db", "schedule_type", "schedule"),
        ),
        Family(
            "mms_timer_stopped",
            f"1 if the timer is stopped, 0 otherwise. API field: stopped {_TIMERS}",
            lambda timer: one(timer.row.stopped),
        ),
        Family(
            "mms_timer_last_run_timestamp_seconds",
            "Unix time at which the timer last created a job, or failed to. Skips do not count. Absent before the "
            f"first run. API field: createTime {_LOGS}",
            lambda timer: one(timer.runs.last_run_at if timer.runs else None),
        ),
        Family(
            "mms_timer_last_run_status",
            "Status of the last run of the timer: 1 for the active status, 0 otherwise. Absent before the first run. "
            f"API field: status {_LOGS}",
            _status,
            ("status",),
        ),
        Family(
            "mms_timer_last_skip_timestamp_seconds",
            "Unix time at which the timer was last due and created no job, because earlier work was pending or "
            f"running. Absent if the newest page of logs has none. API fields: createTime, action, msg {_LOGS}",
            lambda timer: one(timer.runs.last_skip_at if timer.runs else None),
        ),
        Family(
            "mms_timer_due_timestamp_seconds",
            "Unix time at which the timer is first due after its last run: in the future if the schedule is kept, in "
            "the past if a due time passed without a run or with a skip. Absent while the timer is stopped. API "
            f"fields: scheduleType, value, createTime {_TIMERS}",
            lambda timer: one(timer.due_at),
        ),
    ),
)

TIMERS: Final[MetricGroup[TimersStats]] = MetricGroup(
    part="timers",
    families=(
        Family(
            "mms_timer_series_omitted",
            "Number of timers without series of their own, because the data source has more than 200.",
            lambda part: one(part.total - len(part.timers)),
        ),
    ),
)
