"""Logs of failed tasks with every fault: nothing else changes, and the reasons are right after the fault."""

import asyncio
from functools import cache
from typing import Final

import pytest
from msgspec.structs import replace

from exporter.exposition.families.table_families import REASONS
from exporter.simulator.faults.fault_plan import KINDS
from tests.faults.expectations import FAULT_CASES, GARBLED
from tests.faults.stage import FAULTY_SOURCE, Series, domain, stage

pytestmark = pytest.mark.virtual_time

_, BY_REASON, EXAMINED = (family.name for family in REASONS.families)
FRESHNESS: Final = frozenset(
    {
        *("mms_refresh_success", "mms_refresh_last_success_timestamp_seconds", "mms_datasource_refresh_success"),
        "mms_datasource_refresh_last_success_timestamp_seconds",
    }
)
FINISHED: Final = 12
"""Half of these jobs have a failed task."""


@cache
def healthy() -> list[dict[Series, float]]:
    """Return the samples of two steps without faults."""

    async def read() -> list[dict[Series, float]]:
        async with stage(finished_jobs=FINISHED, has_tasks=False, has_reasons=True) as running:
            return [domain(await running.refresh()) for _ in range(2)]

    return asyncio.run(read())


@pytest.fixture(scope="module", autouse=True)
def _healthy() -> None:
    healthy()


def without(samples: dict[Series, float], *names: str) -> dict[Series, float]:
    """Return the samples of other families; freshness says what failed."""
    return {key: value for key, value in samples.items() if key[0] not in {*names, *FRESHNESS}}


def examined(samples: dict[Series, float]) -> float:
    """Return the number of examined tasks of the faulty source."""
    found = dict.fromkeys((BY_REASON, EXAMINED), 0.0)
    for (name, labels), value in samples.items():
        if name in found and ("source_id", str(FAULTY_SOURCE)) in labels:
            found[name] += value
    assert found[BY_REASON] == found[EXAMINED]
    return found[EXAMINED]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_of_logs(kind: str) -> None:
    case, (first, second) = FAULT_CASES[kind], healthy()
    timeout = 0.25 if case.is_slow else 10.0
    async with stage(timeout, FINISHED, has_tasks=False, has_reasons=True) as running:
        running.simulator.faults.add(replace(case.fault, operation="ListMmsTaskLogs", source_id=FAULTY_SOURCE))
        found = domain(await running.refresh())
        assert without(found, BY_REASON, EXAMINED) == without(first, BY_REASON, EXAMINED)
        assert examined(found) <= examined(first)
        assert examined(first) > 0
        if case.effect == "fails":
            assert examined(found) == 0
        running.simulator.faults.clear()
        changed = (BY_REASON,) if kind in GARBLED else ()
        assert without(domain(await running.refresh()), *changed) == without(second, *changed)
