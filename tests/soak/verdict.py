"""Whether what is served equals what the simulated MMS holds; and which log lines are expected. Pure."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from exporter.mms.models import TASK_STATUSES
from exporter.simulator.truth import Truth
from tests.collect.test_accuracy import assert_jobs_equal, assert_row_equals, names
from tests.reading import Exposition

EXPECTED_LINES: Final = (
    r"level=info msg=(listening|ending)",
    r'level=info msg="(configuration reloaded|refresh works again)"',
    r'level=warning msg="configuration not reloaded; the old one stays" .*accounts: expected at least one',
    r'level=warning msg="refresh failed; what was read before is kept until it is stale" .*reasons=(?!internal)',
    r'level=(warning|info) msg="what is to be watched does not exist"',
)
"""What the log may say, after its time."""


def unexpected_lines(lines: list[str]) -> list[str]:
    """Return the lines that are none of EXPECTED_LINES."""
    expected = re.compile(rf"ts=\S+ (?:{'|'.join(EXPECTED_LINES)})")
    return [line for line in lines if not expected.match(line)]


def differences(served: Exposition, truth: Truth) -> Iterator[str]:
    """Yield what of `served` is not so."""
    rows = truth.data_sources()
    if set(served.by("mms_datasource_info", "source_id")) != {str(source_id) for source_id in rows}:
        yield "the data sources are others"
        return
    for source_id, row in rows.items():
        try:
            assert_row_equals(served, row)
            assert_jobs_equal(served, source_id, list(truth.jobs(source_id)), set())
            _assert_failures_equal(served, truth, source_id)
            _assert_tasks_equal(served, truth, source_id)
        except (AssertionError, KeyError) as error:
            yield f"{source_id}: {error!r}"
    if set(served.by("mms_refresh_success", "collector").values()) != {1}:
        yield "a collector failed in the last refresh"


def _assert_failures_equal(served: Exposition, truth: Truth, source_id: int) -> None:
    tables = {names(each) for each in truth.tables(source_id) if each.status == "FAILED"}
    partitions = {names(each) for each in truth.partitions(source_id) if each.status == "FAILED"}
    kinds = (("table", ("src_db", "table"), tables), ("partition", ("src_db", "table", "partition"), partitions))
    for kind, labels, expected in kinds:
        shown = [dict(each) for each in served.having(f"mms_failed_{kind}_info", source_id=str(source_id))]
        assert {tuple(each[label] for label in labels) for each in shown} == expected, kind


def _assert_tasks_equal(served: Exposition, truth: Truth, source_id: int) -> None:
    counts = Counter(task.status for task in truth.tasks(source_id))
    assert served.by("mms_tasks", "status", source_id=str(source_id)) == {each: counts[each] for each in TASK_STATUSES}
