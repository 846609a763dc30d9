"""The alert on missed runs and `is_late` give the same answer for each timer."""

import json
from pathlib import Path
from typing import Final

import pytest

from exporter.mms.models.schedules import LATE_SECONDS, is_late
from exporter.mms.models.statuses import DataSourceStatus
from tests.mms.test_schedules import RAN, SKIPPED, at, due
from tests.programs import PROMTOOLS, program, said
from tests.rules.loading import GROUPS, RECORDS, RULES

CASES: Final = {
    "on time": (due(RAN), "STARTED", "10:29:00", False),
    "late within grace": (due(RAN), "STARTED", "11:00:00", False),
    "late": (due(RAN), "STARTED", "11:00:01", True),
    "skipped": (due(RAN, SKIPPED), "STARTED", "11:00:01", True),
    "never due": (due(created="10:45:00"), "STARTED", "11:29:00", False),
    "stopped": (due(RAN, stopped=True), "STARTED", "23:00:00", False),
    "source stopped": (due(RAN), "STOPPED", "23:00:00", False),
    "source stopping": (due(RAN), "STOPPING", "23:00:00", False),
}
"""Due time of a timer, status of its data source, time of day, and whether it is late."""
NOW: Final = 600
"""Seconds of promtool at which the time of day is reached."""


def test_the_threshold_of_the_alert_is_that_of_the_exporter() -> None:
    (rule,) = RECORDS["mms:threshold:schedule_late:seconds"]
    assert rule["expr"] == f"vector({LATE_SECONDS})"


@pytest.mark.parametrize("name", CASES)
def test_the_exporter_gives_the_answer(name: str) -> None:
    due_at, status, now, late = CASES[name]
    assert is_late(due_at, DataSourceStatus(status), at(now)) is late


@pytest.mark.parametrize("promtool", PROMTOOLS)
def test_the_alert_gives_the_same_answer(promtool: str, tmp_path: Path) -> None:
    # Pending, because the alert fires 2 minutes later.
    expected = [{"labels": f'{{source="{name}"}}', "value": 1} for name, (*_, late) in CASES.items() if late]
    query = 'count by (source) (ALERTS{alertname="MmsScheduleMissed"})'
    test = {
        "rule_files": list(map(str, RULES)),
        "evaluation_interval": "1s",
        "group_eval_order": list(GROUPS),
        "tests": [
            {
                "interval": "1s",
                "input_series": [each for name in CASES for each in series(name)],
                "promql_expr_test": [{"expr": query, "eval_time": f"{NOW}s", "exp_samples": expected}],
            }
        ],
    }
    file = tmp_path / "late.json"
    file.write_text(json.dumps(test), encoding="utf-8")
    code, printed = said(program(promtool), "test", "rules", file)
    assert code == 0, printed


def series(name: str) -> list[dict[str, str]]:
    """Return the samples of a case."""
    due_at, status, now, _ = CASES[name]
    source = f'job="mms-exporter", instance="a", account="prod", source_id="{name}", source="{name}"'
    found = [{"series": f'mms_datasource_status{{{source}, status="{status}"}}', "values": f"1x{NOW}"}]
    if due_at is not None:
        seen = due_at - at(now) + NOW
        labels = f'{source}, timer_id="1", timer="hourly"'
        found.append({"series": f"mms_timer_due_timestamp_seconds{{{labels}}}", "values": f"{seen:.0f}x{NOW}"})
    return found
