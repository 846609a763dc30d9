"""Metadata scans with every fault: nothing else changes, and the values are right after the fault."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache

import pytest
from msgspec.structs import replace

from exporter.simulator import ManualClock, apply_event
from exporter.simulator.faults.fault_plan import KINDS
from exporter.simulator.world import events
from tests.faults.expectations import FAULT_CASES
from tests.faults.stage import FAULTY_SOURCE, STEPS, Series, Stage, domain, stage
from tests.faults.test_reason_faults import without

pytestmark = pytest.mark.virtual_time

PROGRESS, OUTDATED = "mms_metadata_scan_progress_ratio", "mms_partitions_outdated"
OPERATIONS = {"GetMmsFetchMetadataJob": (PROGRESS, {}), "ListMmsPartitions": (OUTDATED, {"updated": "true"})}
"""By operation: what it gives, and the parameters of the call."""
LOSING = ("nulls", "missing", "wrong_types")
"""Faults of rows; the response of GetMmsFetchMetadataJob then has no progress, and the total of a list stays."""


@asynccontextmanager
async def scanning(timeout_seconds: float = 10.0) -> AsyncIterator[Stage]:
    """Provide a stage on which a scan of each source has ended and another one runs."""
    async with stage(timeout_seconds, has_tasks=False) as running:
        world = running.simulator.world
        assert isinstance(world.clock, ManualClock)
        for seconds, passed in ((1, 1), (100, 40)):
            for source_id in world.source_ids():
                apply_event(world, events.ScanMetadata(source_id=source_id, seconds=seconds, share=0.5))
            world.clock.advance(passed)
        yield running


@cache
def healthy() -> list[dict[Series, float]]:
    """Return the samples of each step without faults."""

    async def read() -> list[dict[Series, float]]:
        async with scanning() as running:
            return [domain(await running.refresh()) for _ in STEPS]

    return asyncio.run(read())


@pytest.fixture(scope="module", autouse=True)
def _healthy() -> None:
    healthy()


def value(samples: dict[Series, float], name: str) -> float | None:
    """Return the value of the faulty source, None without a sample."""
    source = ("source_id", str(FAULTY_SOURCE))
    return next((each for (family, labels), each in samples.items() if family == name and source in labels), None)


def pairs() -> Iterator[object]:
    """Yield every fault with every operation: half of them in the suite, the others in `make scale`."""
    for row, kind in enumerate(KINDS):
        for number, operation in enumerate(OPERATIONS):
            yield pytest.param(kind, operation, marks=[pytest.mark.scale] if (row + number) % 2 else [])


@pytest.mark.parametrize(("kind", "operation"), [*pairs()])
async def test_a_fault_of_scans(kind: str, operation: str) -> None:
    case, (name, query) = FAULT_CASES[kind], OPERATIONS[operation]
    right = value(healthy()[0], name)
    assert right
    async with scanning(0.25 if case.is_slow else 10.0) as running:
        fault = replace(case.fault, operation=operation, source_id=FAULTY_SOURCE, query=query)
        number = running.simulator.faults.add(fault)
        found = domain(await running.refresh())
        assert without(found, name) == without(healthy()[0], name)
        is_lost = case.effect == "fails" or (kind in LOSING and name == PROGRESS)
        expected = 50 if kind == "total" and name == OUTDATED else None if is_lost else right
        assert value(found, name) in {expected, None if kind == "broken_rows" else expected}
        assert running.simulator.faults.happened(number)
        running.simulator.faults.clear()
        changed = (OUTDATED,) if kind == "total" else ()
        assert without(domain(await running.refresh()), *changed) == without(healthy()[1], *changed)
