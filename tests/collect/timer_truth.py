"""What the exporter must show of the timers of the simulated MMS."""

from typing import Final
from zoneinfo import ZoneInfo

from exporter.mms.models.statuses import JobStatus
from exporter.mms.models.times import unix_seconds
from exporter.simulator.oracle import Oracle
from tests.exposition_parser import Exposition

ZONE: Final = ZoneInfo("Asia/Shanghai")
SKIPPED: Final = "There are tasks those are running or ready to run for"
"""Begins the message of a skip."""
LAST_RUN: Final = "mms_timer_last_run_timestamp_seconds"
LAST_SKIP: Final = "mms_timer_last_skip_timestamp_seconds"
DUE: Final = "mms_timer_due_timestamp_seconds"


def expected_timers(truth: Oracle, source_id: int) -> dict[str, dict[str, float | JobStatus | None]]:
    """Return stop, last run, its status, last skip and due time of each timer, by id."""
    found: dict[str, dict[str, float | JobStatus | None]] = {}
    dues = truth.timer_dues(source_id)
    for timer, logs in truth.timers(source_id).items():
        skips = [log for log in logs if (log.msg or "").startswith(SKIPPED)]
        runs = [log for log in logs if log not in skips]
        late = logs[logs.index(runs[-1]) + 1 :] if runs else logs
        due = unix_seconds(late[0].create_time, ZONE) if late and timer.id in dues else dues.get(timer.id)
        found[str(timer.id)] = {
            "stopped": float(timer.stopped or 0),
            LAST_RUN: unix_seconds(runs[-1].create_time, ZONE) if runs else None,
            "status": runs[-1].status if runs else None,
            LAST_SKIP: unix_seconds(skips[-1].create_time, ZONE) if skips else None,
            DUE: due,
        }
    return found


def assert_timers_equal(served: Exposition, source_id: int, truth: Oracle) -> None:
    """Check the timers of a source."""
    source = {"source_id": str(source_id)}
    stopped = served.by("mms_timer_stopped", "timer_id", **source)
    by_status = {each: served.by("mms_timer_last_run_status", "timer_id", **source, status=each) for each in JobStatus}
    shown = {
        str(timer): {
            "stopped": value,
            "status": next((each for each in JobStatus if by_status[each].get(timer)), None),
            **{name: served.by(name, "timer_id", **source).get(timer) for name in (LAST_RUN, LAST_SKIP, DUE)},
        }
        for timer, value in stopped.items()
    }
    expected = expected_timers(truth, source_id)
    assert shown.keys() == expected.keys()
    differing = {key: (shown[key], expected[key]) for key in shown if shown[key] != expected[key]}
    assert not differing, differing
    names = served.by("mms_timer_info", "timer", **source)
    assert len(names) == len({timer.name for timer in truth.timers(source_id)})
