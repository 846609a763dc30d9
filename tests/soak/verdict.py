"""Compares served values with the simulated MMS, and finds leaks and unexpected log lines. Pure."""

import re
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Final

from exporter.exposition.families.metric_table import METRIC_GROUPS
from exporter.mms.models.statuses import TaskStatus
from exporter.simulator.oracle import Oracle
from tests.collect.test_accuracy import (
    assert_databases_equal,
    assert_jobs_equal,
    assert_row_equals,
    assert_scan_equals,
    assert_watched_equals,
    jobs_with_failures,
    names,
)
from tests.collect.timer_truth import assert_timers_equal
from tests.exposition_parser import Exposition, Labels
from tests.soak.configuration import CONNECTIONS_PER_ACCOUNT
from tests.soak.resources import ProcessSnapshot

EXPECTED_LINES: Final = (
    r"level=info msg=listening",
    r'level=info msg="(shutdown started|configuration reloaded|first refresh finished|refresh recovered)"',
    r'level=warning msg="configuration reload failed, keeping the previous .*accounts: expected at least one',
    r'level=warning msg="refresh failed, serving the last values, if any, until stale_after" .*reasons=(?!internal)',
    r'level=(warning|info) msg="watched object not found"',
)
"""Expected log lines, without the timestamp."""


SUCCESSES: Final = {"mms_up", "mms_refresh_success", "mms_datasource_refresh_success"}
FAMILIES: Final = {family.name for part in METRIC_GROUPS for family in part.families}
MOMENTARY: Final = {
    "mms_refresh_duration_seconds",
    "mms_refresh_last_success_timestamp_seconds",
    "mms_datasource_refresh_last_success_timestamp_seconds",
}
"""Families about the refresh itself, not about MMS."""
MAX_GROWTH_BYTES: Final = 24 * 2**20
"""Growth of resident memory from the second to the last quarter of a run; buffers for large responses grow before."""


def unexpected_lines(lines: list[str]) -> list[str]:
    """Return the lines that are none of EXPECTED_LINES."""
    expected = re.compile(rf"ts=\S+ (?:{'|'.join(EXPECTED_LINES)})")
    return [line for line in lines if not expected.match(line)]


def differences(served: Exposition, fresh: Exposition, truth: Oracle) -> Iterator[str]:
    """Yield failures, and differences to `fresh` and `truth`.

    `fresh` is the output of a new exporter on the same MMS.
    """
    for name in sorted(SUCCESSES):
        if set(served.samples.get(name, {}).values()) != {1}:
            yield f"{name} is not 1 everywhere"
    resolved = {_job_of(labels) for labels, value in fresh.samples.get("mms_job_unresolved", {}).items() if not value}
    for name in sorted(FAMILIES):
        pages = (served.samples.get(name, {}), fresh.samples.get(name, {}))
        # Resolved jobs leave the page `linger` after they were seen resolved, which a new exporter sees later.
        seen, new = ({key: value for key, value in page.items() if _job_of(key) not in resolved} for page in pages)
        yield from _unlike(name, seen, new)
    yield from _untrue(served, truth)


def _unlike(name: str, served: Mapping[Labels, float], fresh: Mapping[Labels, float]) -> Iterator[str]:
    """Yield differences to a family of a new exporter."""
    for there, missing, said in ((served, fresh, "is unexpected"), (fresh, served, "is missing")):
        yield from (f"{_text(name, labels)} {said}" for labels in there.keys() - missing.keys())
    for labels in served.keys() & fresh.keys() if name not in MOMENTARY else ():
        if served[labels] != fresh[labels]:
            yield f"{_text(name, labels)} is {served[labels]}, not {fresh[labels]}"


def _job_of(labels: Labels) -> tuple[str | None, str | None]:
    named = dict(labels)
    return named.get("source_id"), named.get("job_id")


def _text(name: str, labels: Labels) -> str:
    return f"{name}{dict(sorted(labels))}"


def _untrue(served: Exposition, truth: Oracle) -> Iterator[str]:
    """Yield differences to the ground truth."""
    rows = truth.data_sources()
    if set(served.by("mms_datasource_info", "source_id")) != {str(source_id) for source_id in rows}:
        yield "the data sources differ"
        return
    for source_id, row in rows.items():
        try:
            assert_row_equals(served, row)
            assert_scan_equals(served, row, truth)
            assert_databases_equal(served, source_id, truth.databases(source_id))
            assert_timers_equal(served, source_id, truth)
            jobs = list(truth.jobs(source_id))
            unresolved = jobs_with_failures(served, source_id, jobs, truth)
            assert_jobs_equal(served, source_id, jobs, set(), unresolved)
            _assert_failures_equal(served, truth, source_id)
            _assert_tasks_equal(served, truth, source_id)
        except (AssertionError, KeyError) as error:
            yield f"{source_id}: {_failed_check(error)}"
    try:
        assert_watched_equals(served, truth)
    except (AssertionError, KeyError) as error:
        yield f"watched: {_failed_check(error)}"


def _failed_check(error: Exception) -> str:
    """Return what was checked where, since an assertion has no text of its own outside of pytest."""
    *_, frame = traceback.extract_tb(error.__traceback__)
    return f"{error!r} in {frame.name}, line {frame.lineno}: {frame.line}"


def _assert_failures_equal(served: Exposition, truth: Oracle, source_id: int) -> None:
    tables = {names(each) for each in truth.tables(source_id) if each.status == "FAILED"}
    partitions = {names(each) for each in truth.partitions(source_id) if each.status == "FAILED"}
    kinds = (("table", ("src_db", "table"), tables), ("partition", ("src_db", "table", "partition"), partitions))
    for kind, labels, expected in kinds:
        shown = [dict(each) for each in served.having(f"mms_failed_{kind}_info", source_id=str(source_id))]
        assert {tuple(each[label] for label in labels) for each in shown} == expected, kind


def _assert_tasks_equal(served: Exposition, truth: Oracle, source_id: int) -> None:
    counts = Counter(task.status for task in truth.tasks(source_id))
    assert served.by("mms_tasks", "status", source_id=str(source_id)) == {each: counts[each] for each in TaskStatus}


def leaks(before: ProcessSnapshot, after: ProcessSnapshot, resident: list[int]) -> list[str]:
    """Return what leaked; `resident` has the samples in bytes."""
    held, holds = before.resources, after.resources
    claims = {
        "threads leaked": holds.threads <= held.threads,
        "files leaked": holds.files <= held.files,
        "sockets leaked": holds.sockets <= held.sockets + CONNECTIONS_PER_ACCOUNT,
        "memory grew": grown_bytes(resident) < MAX_GROWTH_BYTES,
        f"tasks differ: more {after.tasks - before.tasks}, less {before.tasks - after.tasks}": after.tasks
        == before.tasks,
    }
    return [finding for finding, is_fine in claims.items() if not is_fine]


def grown_bytes(resident: list[int]) -> float:
    """Return median growth from the second to the last quarter."""
    quarter = max(1, len(resident) // 4)
    return median(resident[-quarter:]) - median(resident[quarter : 2 * quarter] or resident)
