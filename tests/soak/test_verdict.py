"""The verdict of the soak accepts correct pages and detects each defect."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace

import pytest
import pytest_asyncio

from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.oracle import Oracle
from exporter.simulator.world import events
from exporter.simulator.world.timers import TimerRun
from tests.collect.timer_truth import SKIPPED
from tests.conftest import IDENTITY
from tests.exposition_parser import Exposition, Labels
from tests.harness import harness_on
from tests.soak.configuration import CONNECTIONS_PER_ACCOUNT, settled
from tests.soak.resources import ProcessSnapshot, Resources
from tests.soak.troubles import FIRST
from tests.soak.verdict import FAMILIES, MAX_GROWTH_BYTES, MOMENTARY, SUCCESSES, differences, leaks, unexpected_lines

Samples = Mapping[Labels, float]

UNSEEN = {
    "mms_metadata_scan_progress_ratio",
    "mms_partition_info",
    "mms_partition_last_ddl_timestamp_seconds",
    "mms_partition_rows",
    "mms_partition_size_bytes",
    "mms_partition_status",
}
"""Families without series on the page, because no scan runs and no partition is watched."""
OPTIONS = WorldOptions(sources=2, databases=1, tables=6, partitions=3, finished_jobs_per_source=12, timers=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def read() -> AsyncIterator[tuple[Exposition, Oracle]]:
    """Provide a correct page and its ground truth."""
    clock = ManualClock()
    world = World(replace(OPTIONS, idle_share=0), clock=clock)
    for site in world.sites():
        site.timers[1].runs += [TimerRun(1, -7200.0, message=SKIPPED), TimerRun(2, -60.0, message="no metastore")]
    for source_id in world.source_ids():
        apply_event(world, events.Fail(source_id=source_id, share=0.3))
    async with (
        Simulator(world, identities=[IDENTITY]) as simulator,
        harness_on(settled(simulator.url), clock) as harness,
    ):
        yield await harness.refresh(), world.truth()


@pytest.fixture
def page(read: tuple[Exposition, Oracle]) -> Exposition:
    return read[0]


@pytest.fixture
def found(read: tuple[Exposition, Oracle]) -> Callable[[Exposition], list[str]]:
    """Provide a function that finds defects of a page."""
    page, truth = read
    return lambda served: list(differences(served, page, truth))


def with_family(page: Exposition, name: str, samples: Samples) -> Exposition:
    return Exposition({**page.samples, name: samples})


def test_a_correct_page_has_no_findings(page: Exposition, found: Callable[[Exposition], list[str]]) -> None:
    assert found(page) == []
    assert FAMILIES - page.samples.keys() == UNSEEN, "every other family is looked at below"


@pytest.mark.parametrize("name", sorted(FAMILIES - UNSEEN))
def test_an_extra_series_is_found(page: Exposition, found: Callable[[Exposition], list[str]], name: str) -> None:
    """For example of a removed data source or account."""
    labels, value = next(iter(page.samples[name].items()))
    ghost = frozenset({(key, "9" if key == "source_id" else f"{text}-gone") for key, text in labels})
    assert found(with_family(page, name, {**page.samples[name], ghost: value}))


@pytest.mark.parametrize("name", sorted(FAMILIES - UNSEEN))
def test_a_missing_series_is_found(page: Exposition, found: Callable[[Exposition], list[str]], name: str) -> None:
    _, *others = page.samples[name].items()
    assert found(with_family(page, name, dict(others)))


@pytest.mark.parametrize("name", sorted(FAMILIES - UNSEEN - MOMENTARY))
def test_a_wrong_value_is_found(page: Exposition, found: Callable[[Exposition], list[str]], name: str) -> None:
    (labels, value), *others = page.samples[name].items()
    assert found(with_family(page, name, {labels: value + 1, **dict(others)}))


@pytest.mark.parametrize("name", sorted(MOMENTARY))
def test_refresh_times_are_ignored(page: Exposition, found: Callable[[Exposition], list[str]], name: str) -> None:
    later = {labels: value + 1 for labels, value in page.samples[name].items()}
    assert found(with_family(page, name, later)) == []


@pytest.mark.parametrize("name", sorted(SUCCESSES))
def test_a_failure_of_every_exporter_is_found(read: tuple[Exposition, Oracle], name: str) -> None:
    page, truth = read
    failed = with_family(page, name, dict.fromkeys(page.samples[name], 0.0))
    assert list(differences(failed, failed, truth)) == [f"{name} is not 1 everywhere"]


@pytest.mark.parametrize("name", ["mms_tables", "mms_jobs", "mms_tasks", "mms_table_status"])
def test_an_error_of_every_exporter_is_found(read: tuple[Exposition, Oracle], name: str) -> None:
    """The simulated MMS counts independently."""
    page, truth = read
    samples = page.having(name, source_id=str(FIRST))
    wrong = with_family(page, name, {**page.samples[name], **rotated(samples)})
    assert list(differences(wrong, wrong, truth))


def test_failed_objects_missed_by_every_exporter_are_found(read: tuple[Exposition, Oracle]) -> None:
    page, truth = read
    wrong = with_family(page, "mms_failed_table_info", {})
    assert list(differences(wrong, wrong, truth))


def rotated(samples: Samples) -> Samples:
    """Rotate the values, or increment them if all are equal."""
    values = list(samples.values())
    others = values[1:] + values[:1]
    return dict(zip(samples, others if others != values else [value + 1 for value in values], strict=True))


LINE = "ts=2026-01-01T00:00:00.000Z level={} msg={}"


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("warning", '"something new"'),
        ("error", '"refresh failed with an unexpected error, retrying at the next interval"'),
        (
            "warning",
            '"refresh failed, serving the last values, if any, until stale_after" collector=jobs reasons=internal',
        ),
        ("warning", "listening"),
    ],
)
def test_an_unexpected_log_line_is_found(level: str, message: str) -> None:
    line = LINE.format(level, message)
    assert unexpected_lines([LINE.format("info", "listening"), line]) == [line]


def test_a_traceback_is_found() -> None:
    assert unexpected_lines(["Traceback (most recent call last):"])


@pytest.mark.parametrize(
    "message",
    [
        '"refresh failed, serving the last values, if any, until stale_after" collector=jobs reasons=auth,timeout',
        '"configuration reload failed, keeping the previous configuration" reason="accounts: expected at least one"',
    ],
)
def test_log_lines_caused_by_troubles_are_expected(message: str) -> None:
    assert unexpected_lines([LINE.format("warning", message)]) == []


HELD = ProcessSnapshot(
    Resources(threads=5, files=9, sockets=10, resident_bytes=0), Counter({"account test": 1, "publish": 1})
)


def held(tasks: Iterable[str] = (), **more: int) -> ProcessSnapshot:
    """Return HELD with additions."""
    resources = {name: getattr(HELD.resources, name) + number for name, number in more.items()}
    return ProcessSnapshot(replace(HELD.resources, **resources), HELD.tasks + Counter(tasks))


@pytest.mark.parametrize(
    ("after", "finding"),
    [
        (held(), None),
        (held(sockets=CONNECTIONS_PER_ACCOUNT), None),
        (held(threads=1), "threads leaked"),
        (held(files=1), "files leaked"),
        (held(sockets=CONNECTIONS_PER_ACCOUNT + 1), "sockets leaked"),
        (held(tasks=["account other"]), "tasks differ"),
        (ProcessSnapshot(HELD.resources, Counter({"publish": 1})), "tasks differ"),
    ],
)
def test_leaked_resources_are_found(after: ProcessSnapshot, finding: str | None) -> None:
    found = leaks(HELD, after, [1])
    assert [each.partition(":")[0] for each in found] == ([finding] if finding else [])


@pytest.mark.parametrize(("growth", "is_found"), [(MAX_GROWTH_BYTES - 1, False), (MAX_GROWTH_BYTES, True)])
def test_memory_growth_is_found(*, growth: int, is_found: bool) -> None:
    assert ("memory grew" in leaks(HELD, HELD, [0, 100, 100, 100 + growth])) is is_found
