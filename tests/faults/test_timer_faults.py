"""Timers and their logs with every fault: nothing else changes, and the timers are right after the fault."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as with_options

import pytest
from msgspec.structs import replace

from exporter.exposition.families.timer_families import TIMER, TIMERS
from exporter.simulator import ManualClock, Simulator, World
from exporter.simulator.faults.fault_plan import KINDS
from tests.conftest import IDENTITY, config_on
from tests.faults.expectations import FAULT_CASES
from tests.faults.stage import FAULTY_SOURCE, STALE_AFTER, WORLD, Series, domain
from tests.harness import Harness, harness_on

pytestmark = pytest.mark.virtual_time

OPTIONS = with_options(WORLD, timers=2, running_jobs_per_source=0, untouched_share=1.0, finished_jobs_per_source=0)
FAMILIES = {family.name for group in (TIMER, TIMERS) for family in group.families}
OF_LOGS = {name for name in FAMILIES if name.endswith("_seconds") or "last_run" in name}


@asynccontextmanager
async def stage(limit: str) -> AsyncIterator[tuple[Simulator, Harness, ManualClock]]:
    """Provide two sources with timers whose jobs run, so that their logs are read in each refresh."""
    clock = ManualClock()
    world = World(OPTIONS, clock=clock)
    clock.advance(3700)
    settings = {"timers": {"interval": "1s"}, "refresh": {"interval": "1s", "stale_after": f"{STALE_AFTER:g}s"}}
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        config = config_on(simulator.url, {"timeout": limit, "concurrency": 3}, **settings)
        async with harness_on(config, clock) as harness:
            yield simulator, harness, clock


async def refreshed(harness: Harness) -> dict[Series, float]:
    """Return the samples of the timers after a refresh."""
    return {key: value for key, value in domain(await harness.refresh()).items() if key[0] in FAMILIES}


def split(samples: dict[Series, float], families: set[str]) -> tuple[dict[Series, float], dict[Series, float]]:
    """Return the samples of these families of the faulty source, and all others."""
    faulty = {key for key in samples if key[0] in families and ("source_id", str(FAULTY_SOURCE)) in key[1]}
    return {key: samples[key] for key in faulty}, {key: samples[key] for key in samples.keys() - faulty}


@pytest.mark.parametrize("operation", ["ListMmsTimers", "ListMmsTimerLogs"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_of_timers(kind: str, operation: str) -> None:
    case, families = FAULT_CASES[kind], FAMILIES if operation == "ListMmsTimers" else OF_LOGS
    async with stage("250ms" if case.is_slow else "10s") as (simulator, harness, clock):
        healthy = await refreshed(harness)
        mine, others = split(healthy, families)
        assert {key[0] for key in mine} == families - {"mms_timer_last_skip_timestamp_seconds"}
        simulator.faults.add(replace(case.fault, operation=operation, source_id=FAULTY_SOURCE))
        clock.advance(5)
        found = split(await refreshed(harness), families)
        assert found[1] == others
        if case.effect in {"fails", "harmless"}:
            assert found[0] == mine, "values are kept"
        clock.advance(STALE_AFTER - 4)
        found = split(await refreshed(harness), families)
        assert found[1] == others
        if case.effect == "fails":
            assert found[0] == {}, "values are stale"
        simulator.faults.clear()
        clock.advance(1)
        assert await refreshed(harness) == healthy
