"""When a timer is due and late, by its row and its logs."""

from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from exporter.mms.listing import Listing
from exporter.mms.models.schedules import LATE_SECONDS, TimerHistory, first_due, is_late
from exporter.mms.models.statuses import DataSourceStatus, JobStatus, ScheduleType
from exporter.mms.models.timer_records import Timer, TimerLog

ZONE: Final = ZoneInfo("Asia/Shanghai")
DAY: Final = "2025-06-16"


def at(clock: str) -> float:
    """Return a local time of the day in Unix seconds."""
    return datetime.fromisoformat(f"{DAY} {clock}").replace(tzinfo=ZONE).timestamp()


def due(*logs: TimerLog, stopped: bool | None = False, created: str = "08:00:00") -> float | None:
    """Return the due time of a timer that is due at minute 30 of each hour."""
    kind: dict[str, Any] = {"schedule_type": ScheduleType.HOURLY, "value": "30"}
    row = Timer(id=1, create_time=f"{DAY} {created}", stopped=stopped, **kind)
    listing = Listing(logs, len(logs) or None, is_complete=True)
    return first_due(row, TimerHistory.of(listing, ZONE), ZONE)


def log(clock: str, status: JobStatus = JobStatus.DONE, msg: str = "") -> TimerLog:
    """Return a log of the timer."""
    return TimerLog(id=1, status=status, create_time=f"{DAY} {clock}", msg=msg)


RAN: Final = log("09:30:00")
SKIPPED: Final = log("10:30:00", JobStatus.FAILED, "tasks are running or ready to run")
FAILED: Final = log("09:30:00", JobStatus.FAILED, "no such database")


@pytest.mark.parametrize(
    ("due_at", "now", "late"),
    [
        pytest.param(due(RAN), "10:29:00", False, id="on time"),
        pytest.param(due(RAN), "11:00:00", False, id="late within grace"),
        pytest.param(due(RAN), "11:00:01", True, id="late"),
        pytest.param(due(RAN, SKIPPED), "11:00:01", True, id="skipped"),
        pytest.param(due(FAILED), "10:29:00", False, id="a failed run is a run"),
        pytest.param(due(log("09:29:30")), "10:29:00", False, id="ran shortly before the due time"),
        pytest.param(due(RAN, stopped=True), "23:00:00", False, id="stopped"),
        pytest.param(due(RAN, stopped=None), "23:00:00", False, id="maybe stopped"),
        pytest.param(due(created="10:45:00"), "11:29:00", False, id="never due"),
        pytest.param(due(created="10:15:00"), "11:00:01", True, id="never ran"),
    ],
)
def test_a_timer_is_late_if_a_due_time_passed_without_a_run(due_at: float | None, now: str, *, late: bool) -> None:
    assert LATE_SECONDS == 1800
    assert is_late(due_at, DataSourceStatus.STARTED, at(now)) is late
    assert is_late(due_at, None, at(now)) is late


@pytest.mark.parametrize("status", [DataSourceStatus.STOPPED, DataSourceStatus.STOPPING])
def test_a_timer_of_a_stopped_data_source_is_not_late(status: DataSourceStatus) -> None:
    assert not is_late(due(RAN), status, at("23:00:00"))
