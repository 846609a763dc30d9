"""Values of single queries of the dashboards, computed by promtool from series."""

import math
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.grafana.checked_in import SENTINEL, Json, panels
from tests.programs import program
from tests.story.dashboard_queries import filled_in

SOURCE = 'account="prod",source_id="1",source="hive"'
JOB = f'{SOURCE},job_id="7",job_name="nightly"'
DATABASE, OMITTED = f'{SOURCE},src_db="sales"', f"mms_database_series_omitted{{{SOURCE}}}"
TIMER, TIMERS_OMITTED = f'{SOURCE},timer_id="3",timer="nightly"', f"mms_timer_series_omitted{{{SOURCE}}}"
LEFT, PROGRESS = f"mms:source:overall_left:sum{{{SOURCE}}}", f"mms:source:overall_progress:ratio{{{SOURCE}}}"
FAILED_TABLES = f'mms:source:objects:max{{{SOURCE},kind="table",status="FAILED"}}'
FAILED_JOBS, REMAINS = f'mms_jobs{{{SOURCE},status="FAILED"}}', f'mms:source:failed:sum{{{SOURCE},kind="table"}}'
UNRESOLVED = f"mms_job_unresolved{{{JOB}}}"
LISTED = {f'mms_job_status{{{JOB},status="FAILED"}}': 1, f"mms_job_info{{{JOB}}}": 1}


def query(name: str, title: str, ref: str, seconds: float = 1.0) -> str:
    """Return a query of a panel with its variables substituted."""
    (panel,) = [panel for panel in panels(name) if panel["title"] == title]
    return filled_in(next(target["expr"] for target in panel["targets"] if target["refId"] == ref), seconds)


def check(folder: Path, expr: str, series: Mapping[str, float | str], expected: list[Json], at: str = "1m") -> None:
    """Check the result of a query on these series."""
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [
            {"series": each, "values": value if isinstance(value, str) else f"{value:g} ".title() * 3}
            for each, value in series.items()
        ],
        "promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": expected}],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}), encoding="utf-8")
    command = [program("PROMTOOL"), "test", "rules", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a tool that the caller of the tests names
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("name", "title", "label", "series", "said"),
    [
        ("datasource", "Failed tables", "table", {FAILED_TABLES: 0}, "No failed tables"),
        (
            "datasource",
            "Failed tables",
            "table",
            {FAILED_TABLES: 2},
            "Failed, but not listed: limit, permission or filter",
        ),
        ("datasource", "Failed tables", "table", {}, "No data"),
        ("datasource", "Failed tables", "table", {FAILED_TABLES: 2, f"mms_failed_table_info{{{SOURCE}}}": 1}, None),
        ("datasource", "Databases", "src_db", {OMITTED: 0}, "No databases"),
        ("datasource", "Databases", "src_db", {OMITTED: 2}, "Not listed: limit"),
        ("datasource", "Databases", "src_db", {}, "No data"),
        ("datasource", "Databases", "src_db", {OMITTED: 0, f"mms_database_metadata_tables{{{DATABASE}}}": 1}, None),
        ("datasource", "Timers", "timer", {TIMERS_OMITTED: 0}, "No timers"),
        ("datasource", "Timers", "timer", {TIMERS_OMITTED: 2}, "Not listed: limit"),
        ("datasource", "Timers", "timer", {}, "No data"),
        ("datasource", "Timers", "timer", {TIMERS_OMITTED: 0, f"mms_timer_info{{{TIMER}}}": 1}, None),
        ("jobs", "Failed jobs", "job_name", {FAILED_JOBS: 0}, "No failed jobs"),
        ("jobs", "Failed jobs", "job_name", {FAILED_JOBS: 2}, "Failed, but not listed: resolved, limit or filter"),
        ("jobs", "Failed jobs", "job_name", {FAILED_JOBS: 1, **LISTED}, None),
    ],
)
def test_an_empty_table_claims_no_failures_only_if_none_are_counted(
    tmp_path: Path, name: str, title: str, label: str, series: dict[str, float], said: str | None
) -> None:
    (kind,) = [panel["targets"] for panel in panels(name) if panel["title"] == title and panel["type"] == "table"]
    expr = filled_in(next(target["expr"] for target in kind if target["refId"] == SENTINEL))
    check(tmp_path, expr, series, [{"labels": f'{{{label}="{said}"}}', "value": 1}] if said else [])


@pytest.mark.parametrize(
    ("ref", "value"),
    [
        pytest.param("B", 1000 * 30, id="last run"),
        pytest.param("C", 3, id="result"),
        pytest.param("D", 1000 * 40, id="due"),
        pytest.param("E", 1, id="late"),
        pytest.param("F", 0, id="stopped"),
    ],
)
@pytest.mark.parametrize("stopped", [0, 1], ids=["started source", "stopped source"])
def test_a_timer_of_two_replicas_has_each_value_once(tmp_path: Path, ref: str, value: float, stopped: int) -> None:
    figures = {"last_run_timestamp_seconds": 30, "due_timestamp_seconds": 40, "stopped": 0}
    series: dict[str, float | str] = {
        f'mms_timer_{name}{{instance="{instance}",{TIMER}{status}}}': each
        for instance in "ab"
        for name, each, status in (
            *((name, each, "") for name, each in figures.items()),
            ("last_run_status", 1, ',status="DONE"'),
        )
    }
    series |= {"mms:threshold:schedule_late:seconds": 15}
    series |= {'mms:source_id:stopped:max{job="j",account="prod",source_id="1"}': stopped}
    shown = [{"labels": f"{{{TIMER}}}", "value": value}]
    check(tmp_path, query("datasource", "Timers", ref), series, [] if stopped and ref == "E" else shown)


@pytest.mark.parametrize(
    ("left", "labels", "value"), [(0, '{source="All sources done"}', 1), (5, f"{{{SOURCE}}}", 0.9)]
)
def test_the_wall_has_a_bar_when_all_sources_are_done(tmp_path: Path, left: int, labels: str, value: float) -> None:
    expr = query("wall", "Progress of unfinished sources", "A")
    check(tmp_path, expr, {LEFT: left, PROGRESS: 0.9}, [{"labels": labels, "value": value}])


@pytest.mark.parametrize(
    ("series", "shown"),
    [
        pytest.param({UNRESOLVED: 1, FAILED_JOBS: 3, REMAINS: 4}, 1, id="one of three is open"),
        pytest.param({UNRESOLVED: 0, FAILED_JOBS: 3, REMAINS: 4}, 0, id="resolved"),
        pytest.param({FAILED_JOBS: 3, REMAINS: 0}, 0, id="resolved long ago"),
        pytest.param({FAILED_JOBS: 3, REMAINS: 4}, 3, id="no verdict"),
        pytest.param({FAILED_JOBS: 3}, 3, id="nothing known"),
    ],
)
def test_the_number_of_failed_jobs_is_without_resolved_ones(
    tmp_path: Path, series: dict[str, float], shown: int
) -> None:
    check(tmp_path, query("jobs", "Failed", "A"), series, [{"labels": "{}", "value": shown}])


def source_series(number: int, *, left: int, hours: float, best: float | None = None) -> dict[str, float]:
    """Return what the rules record of a data source; the worst case takes twice the expected time."""
    labels = f'account="prod",source_id="{number}",source="source {number}"'
    recorded: dict[str, float] = {
        "overall_left:sum": left,
        "overall_done_per_hour:deriv1h": 10,
        "time_left_best:seconds": 3600 * (hours / 2 if best is None else best),
        "time_left:seconds": 3600 * hours,
        "time_left_worst:seconds": 7200 * hours,
    }
    return {f"mms:source:{name}{{{labels}}}": value for name, value in recorded.items()}


MOVING = source_series(1, left=100, hours=1)
HALTED = source_series(2, left=40, hours=math.inf, best=1)
GROWING = source_series(3, left=30, hours=math.inf)
ENDED = source_series(4, left=0, hours=0)


@pytest.mark.parametrize(
    ("series", "forecast", "in_1_hour"),
    [
        pytest.param(MOVING, (7, 53, 77), 0, id="moving"),
        pytest.param(source_series(1, left=100, hours=2), (53, 77, 88), 50, id="moving slowly"),
        pytest.param(HALTED, (21, None, None), 40, id="agent offline or stopped"),
        pytest.param(GROWING, (None, None, None), 30, id="more arrives than is done"),
        pytest.param(ENDED, (None, None, None), 0, id="nothing left"),
        pytest.param(MOVING | HALTED, (75, 93, 117), 40, id="the halted source keeps its work"),
        pytest.param(MOVING | ENDED, (7, 53, 77), 0, id="the finished source does not help"),
    ],
)
def test_only_sources_with_an_end_have_a_forecast(
    tmp_path: Path, series: dict[str, float], forecast: tuple[int | None, ...], in_1_hour: int
) -> None:
    """28 minutes after the last sample, and 1 hour after now."""
    for ref, value in zip("DCB", forecast, strict=True):
        shown = [] if value is None else [{"labels": "{}", "value": value}]
        check(tmp_path, f"round({query('datasource', 'Remaining work', ref, 3600)})", series, shown, at="30m")
    left = query("datasource", "Remaining as expected", "B")
    check(tmp_path, left, series, [{"labels": "{}", "value": in_1_hour}])


SECOND = 'account="prod",source_id="2",source="second"'
STALLED = {f"mms:source:halted:max{{{SOURCE}}}": 1}
ACTIVE = {f"mms:source:overall_done_per_hour:deriv1h{{{SOURCE}}}": 5}
IDLE = {f"mms:source:overall_done_per_hour:deriv1h{{{SOURCE}}}": 0}


def bounds(best: float, worst: float, labels: str = SOURCE) -> dict[str, float]:
    """Return the recorded bounds of the forecast."""
    ends = {"_best": best, "": (best + worst) / 2, "_worst": worst}
    return {f"mms:source:time_left{bound}:seconds{{{labels}}}": each for bound, each in ends.items()}


@pytest.mark.parametrize(
    ("series", "between", "and_"),
    [
        pytest.param(bounds(100, 300) | ACTIVE, 160, 360, id="moving"),
        pytest.param(bounds(100, math.inf) | IDLE, 160, math.inf, id="no progress in the last hour"),
        pytest.param(bounds(100, math.inf) | ACTIVE, 160, 1e13 + 60, id="more arrives than is done"),
        pytest.param(bounds(100, math.inf) | ACTIVE | STALLED, 160, math.inf, id="halted"),
        pytest.param(bounds(100, 300) | ACTIVE | bounds(200, 250, SECOND), 260, 360, id="the latest of each"),
        pytest.param(
            bounds(100, math.inf) | STALLED | bounds(200, math.inf, SECOND) | {f"mms:source:halted:max{{{SECOND}}}": 1},
            260,
            math.inf,
            id="two sources are halted",
        ),
    ],
)
def test_the_finish_lies_between_the_latest_best_and_the_latest_worst_case(
    tmp_path: Path, series: dict[str, float], between: float, and_: float
) -> None:
    for ref, name, seconds in (("A", "Between:", between), ("B", "and:", and_)):
        shown = [{"labels": f'{{source="{name}"}}', "value": 1000 * seconds}]
        check(tmp_path, query("overview", "Expected finish", ref), series, shown)


def test_the_finish_of_finished_sources_is_now(tmp_path: Path) -> None:
    done = bounds(0, 0) | ACTIVE
    check(tmp_path, query("overview", "Expected finish", "A"), done, [])
    shown = [{"labels": '{source="All sources:"}', "value": 0}]
    check(tmp_path, query("overview", "Expected finish", "B"), done, shown)


def database_series() -> dict[str, float | str]:
    """Return a database as two replicas export it: of 12 tables and 100 partitions, 2 and 50 to 80 are done."""
    statuses: dict[str, dict[str, float | str]] = {
        "tables": {"DOING": 1, "DONE": 2, "PART_DONE": 3, "FAILED": 4},
        "partitions": {"DOING": 5, "DONE": "50+1x30", "FAILED": 7},
    }
    return {
        f'mms_database_{name}{{instance="{instance}",{DATABASE}{status}}}': value
        if isinstance(value, str)
        else f"{value}x30"
        for instance in "ab"
        for name, value, status in (
            ("metadata_tables", 12, ""),
            ("metadata_partitions", 100, ""),
            *((kind, value, f',status="{status}"') for kind in statuses for status, value in statuses[kind].items()),
        )
    }


@pytest.mark.parametrize(
    ("ref", "value"),
    [
        pytest.param("A", (2 + 80) / (12 + 100), id="progress"),
        pytest.param("B", (2 + 8) + (1 + 5), id="remaining: pending and running"),
        pytest.param("C", 4 + 7, id="failed"),
        pytest.param("D", 60, id="per hour"),
    ],
)
def test_a_database_has_the_values_of_both_kinds_once(tmp_path: Path, ref: str, value: float) -> None:
    expr = query("datasource", "Databases", ref)
    check(tmp_path, expr, database_series(), [{"labels": f"{{{DATABASE}}}", "value": value}], at="30m")


@pytest.mark.parametrize(
    "collectors", [{"job", "database", "table", "partition"}, {"table", "partition"}, {"database"}]
)
def test_series_that_are_not_shown_are_those_of_all_collectors(tmp_path: Path, collectors: set[str]) -> None:
    omitted = {
        "job": (f'mms_job_series_omitted{{job="j",instance="a",{SOURCE}}}', 1),
        "database": (f'mms_database_series_omitted{{job="j",instance="a",{SOURCE}}}', 10),
        "table": (f'mms_failed_omitted{{job="j",instance="a",{SOURCE},kind="table"}}', 100),
        "partition": (f'mms_failed_omitted{{job="j",instance="a",{SOURCE},kind="partition"}}', 1000),
    }
    series = dict(omitted[name] for name in collectors)
    check(tmp_path, query("exporter", "Not shown", "A"), series, [{"labels": "{}", "value": sum(series.values())}])
