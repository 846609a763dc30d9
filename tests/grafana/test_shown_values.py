"""Values of single queries of the dashboards, computed by promtool from series."""

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
            {"series": each, "values": value if isinstance(value, str) else f"{value:g}x2"}
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


def source_series(number: int, *, left: int, pace: int, new: int = 0, halted: bool = False) -> dict[str, float]:
    """Return what the rules record of a data source."""
    labels = f'account="prod",source_id="{number}",source="source {number}"'
    recorded: dict[str, float] = {
        "overall_left:sum": left,
        "overall_done_per_hour:deriv1h": pace,
        "overall_new_per_hour:increase6h": new,
        **({"halted:max": 1} if halted else {}),
    }
    return {f"mms:source:{name}{{{labels}}}": value for name, value in recorded.items()}


MOVING = source_series(1, left=100, pace=150)
HALTED = source_series(2, left=40, pace=150, halted=True)
GROWING = source_series(3, left=30, pace=10, new=20)
ENDED = source_series(4, left=0, pace=300)


@pytest.mark.parametrize(
    ("series", "forecast", "in_1_hour"),
    [
        pytest.param(MOVING, 30, 0, id="moving"),
        pytest.param(HALTED, None, 40, id="agent offline or stopped"),
        pytest.param(source_series(1, left=100, pace=0), None, 100, id="no progress"),
        pytest.param(GROWING, None, 40, id="more arrives than is done"),
        pytest.param(ENDED, None, 0, id="nothing left"),
        pytest.param(MOVING | HALTED, 70, 40, id="the halted source keeps its work"),
        pytest.param(MOVING | ENDED, 30, 0, id="the finished source does not help"),
        pytest.param(source_series(1, left=10, pace=150) | HALTED | GROWING, 70, 80, id="not below what stays"),
    ],
)
def test_only_sources_that_move_have_a_forecast(
    tmp_path: Path, series: dict[str, float], forecast: int | None, in_1_hour: int
) -> None:
    """28 minutes after the last sample, and 1 hour after now."""
    expected = [] if forecast is None else [{"labels": "{}", "value": forecast}]
    check(tmp_path, query("datasource", "Remaining work", "B", 3600), series, expected, at="30m")
    left = query("datasource", "Remaining at current pace", "B")
    check(tmp_path, left, series, [{"labels": "{}", "value": in_1_hour}])


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
