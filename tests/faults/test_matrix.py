"""Every operation with every fault, in the first and in a later refresh: output during the fault and after."""

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import cache

import pytest
from msgspec.structs import replace

from exporter.errors import REASONS
from exporter.exposition.telemetry import OPERATIONS
from exporter.simulator.faults.fault_plan import KINDS
from tests.exposition_parser import Exposition
from tests.faults.expectations import FAULT_CASES, FAULT_TARGETS, FaultCase, FaultTarget, served_while_failing
from tests.faults.stage import FAULTY_SOURCE, FEW_JOBS, MANY_JOBS, STEPS, Series, Stage, domain, stage

SHORT_TIMEOUT = 0.25

pytestmark = pytest.mark.virtual_time

every_fault = pytest.mark.parametrize("kind", KINDS)
COLUMNS = {
    **{operation: (operation, FEW_JOBS) for operation in FAULT_TARGETS},
    "ListMmsJobs by status": ("ListMmsJobs", MANY_JOBS),
}
every_operation = pytest.mark.parametrize(("operation", "finished_jobs"), COLUMNS.values(), ids=COLUMNS)


def reads_tasks(operation: str, kind: str) -> bool:
    """Return whether a short test reads tasks as well."""
    # Most calls of a refresh are theirs. Where they depend on nothing that fails, one kind shows that they stay.
    return operation in {"ListMmsDataSources", "ListMmsJobs", "ListMmsTasks"} or kind == "error"


def every_pair(short: int) -> pytest.MarkDecorator:
    """Try every operation with every fault: half of them, in turn, in the suite, the others in `make scale`.

    `short` is 0 or 1 and says which half, so that two tests with different halves have every pair in the suite.
    """
    pairs = [
        pytest.param(*column, kind, reads_tasks(column[0], kind), id=f"{kind}-{name}")
        if (row + number) % 2 == short
        else pytest.param(*column, kind, True, id=f"{kind}-{name}", marks=pytest.mark.scale)
        for row, kind in enumerate(KINDS)
        for number, (name, column) in enumerate(COLUMNS.items())
    ]
    return pytest.mark.parametrize(("operation", "finished_jobs", "kind", "has_tasks"), pairs)


@cache
def healthy_steps(finished_jobs: int, *, has_tasks: bool) -> list[dict[Series, float]]:
    """Return the samples after each step without faults."""

    async def read() -> list[dict[Series, float]]:
        async with stage(finished_jobs=finished_jobs, has_tasks=has_tasks) as running:
            return [domain(await running.refresh()) for _ in STEPS]

    return asyncio.run(read())


@pytest.fixture
def healthy(finished_jobs: int, has_tasks: bool) -> list[dict[Series, float]]:  # noqa: FBT001 - a parameter of pytest
    """Provide the samples after each step without faults."""
    return healthy_steps(finished_jobs, has_tasks=has_tasks)


def test_the_matrix_has_a_row_for_every_fault_and_a_column_for_every_operation() -> None:
    assert set(FAULT_CASES) == set(KINDS)
    elsewhere = {"ListMmsTaskLogs", "GetMmsFetchMetadataJob", "ListMmsTimers", "ListMmsTimerLogs"}
    assert set(FAULT_TARGETS) | elsewhere == set(OPERATIONS), "test_{reason,scan,timer}_faults.py have these"


@every_operation
def test_each_step_changes_the_series_of_every_operation(operation: str, finished_jobs: int) -> None:
    """Otherwise a kept value would look like a fresh one."""
    healthy = healthy_steps(finished_jobs, has_tasks=True)
    first, second = ({key for key in step.items() if FAULT_TARGETS[operation].touches(key[0])} for step in healthy[:2])
    assert first
    assert first != second


@every_pair(0)
async def test_in_the_first_refresh(
    healthy: list[dict[Series, float]],
    operation: str,
    finished_jobs: int,
    kind: str,
    has_tasks: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    """Unread values are absent, not 0; all others are there; the next refresh is right."""
    place, case = FAULT_TARGETS[operation], FAULT_CASES[kind]
    async with staged(case, finished_jobs, has_tasks=has_tasks) as running:
        inject(running, place, case)
        assert_served(await running.refresh(), place, case, healthy[0], before={})
        running.simulator.faults.clear()
        assert domain(await running.refresh()) == healthy[1]


@every_pair(1)
async def test_in_a_later_refresh(
    healthy: list[dict[Series, float]],
    operation: str,
    finished_jobs: int,
    kind: str,
    has_tasks: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    """Earlier values are kept until stale_after; their last-success times stay; the next refresh is right."""
    place, case = FAULT_TARGETS[operation], FAULT_CASES[kind]
    async with staged(case, finished_jobs, has_tasks=has_tasks) as running:
        assert domain(await running.refresh()) == healthy[0]
        inject(running, place, case)
        assert_served(await running.refresh(), place, case, healthy[1], before=healthy[0])
        assert_served(await running.refresh(), place, case, healthy[2], before=healthy[0], is_stale=True)
        running.simulator.faults.clear()
        assert domain(await running.refresh()) == healthy[3]


@pytest.mark.parametrize("operation", ["ListMmsDbs", "ListMmsTables", "ListMmsPartitions"])
@every_fault
async def test_unchanged_lists_are_right_after_the_fault(operation: str, kind: str) -> None:
    """Nothing changes that would trigger a new listing; the fault applied in two refreshes."""
    place, case = FAULT_TARGETS[operation], FAULT_CASES[kind]
    healthy = await asyncio.to_thread(healthy_steps, FEW_JOBS, has_tasks=False)
    right = {key for key in healthy[0] if place.touches(key)}
    async with staged(case, has_tasks=False) as running:
        inject(running, place, case)
        await running.refresh()
        await running.harness.refresh()
        running.simulator.faults.clear()
        assert {key for key in domain(await running.harness.refresh()) if place.touches(key)} == right


def staged(case: FaultCase, finished_jobs: int = FEW_JOBS, *, has_tasks: bool) -> AbstractAsyncContextManager[Stage]:
    """Provide the stage of a fault."""
    return stage(SHORT_TIMEOUT if case.is_slow else 10.0, finished_jobs, has_tasks=has_tasks)


def inject(running: Stage, place: FaultTarget, case: FaultCase) -> None:
    source_id = None if place.is_listing else FAULTY_SOURCE
    fault = replace(case.fault, operation=place.operation, source_id=source_id, query=dict(place.query))
    running.simulator.faults.add(fault)


def assert_served(
    served: Exposition,
    place: FaultTarget,
    case: FaultCase,
    healthy: dict[Series, float],
    *,
    before: dict[Series, float],
    is_stale: bool = False,
) -> None:
    found, effect = domain(served), place.effect(case)
    is_kept = bool(before) and not is_stale
    failing = (
        blind(healthy)
        if place.is_listing and not before
        else served_while_failing(place, healthy, before, is_kept=is_kept)
    )
    if effect == "harmless":
        assert found == healthy
    elif effect == "fails" or (effect == "loses" and place.needs_rows):
        assert found == failing
    elif effect == "loses":
        sure = {(key, value) for key, value in found.items() if key[0] != "mms_failed_omitted"}
        assert sure <= healthy.items(), "what is lost is not there; nothing takes its place"
        assert untouched(place, found) == untouched(place, healthy)
    elif place.is_listing and case.hides is not None:
        hidden = ("source_id", str(case.hides))
        assert [key for key, value in found.items() if hidden in key[1] and place.is_success_flag(key) and value] == []
        assert {key for key in found.items() if hidden not in key[0][1]} == {
            key for key in healthy.items() if hidden not in key[0][1]
        }
    else:
        assert untouched(place, found) == untouched(place, healthy)
    assert_counted(served, place, case.reason if effect == "fails" else None)
    assert (effect == "loses") <= bool(served.by("mms_exporter_unexpected_values_total", "field"))


def assert_counted(served: Exposition, place: FaultTarget, reason: str | None) -> None:
    """Check that only the failed operation counts, under one reason."""
    failures = served.having("mms_api_request_failures_total")
    assert {dict(labels)["reason"] for labels in failures} == set(REASONS)
    counted = {(dict(labels)["operation"], dict(labels)["reason"]) for labels, count in failures.items() if count}
    assert counted == ({(place.operation, reason)} if reason else set())


def untouched(place: FaultTarget, found: dict[Series, float]) -> dict[Series, float]:
    """Return samples of other operations without source names."""
    return {
        (name, frozenset(pair for pair in labels if pair[0] != "source")): value
        for (name, labels), value in found.items()
        if not place.touches((name, labels)) and not place.depends_on_objects((name, labels))
    }


def blind(healthy: dict[Series, float]) -> dict[Series, float]:
    """Return the samples of an account without any source list."""
    success = {key: 0.0 for key in healthy if key[0] in ("mms_up", "mms_refresh_success")}
    ran = ("mms_refresh_duration_seconds", frozenset({("account", "test"), ("collector", "datasources")}))
    return {**success, ran: 0.0}
