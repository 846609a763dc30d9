"""Each kind of fault in the single lookup of failed partitions, used without permission to list them."""

from dataclasses import replace

import pytest
from msgspec.structs import replace as fault_like

from exporter.mms.client import Client
from exporter.mms.credentials import StaticCredentials
from exporter.mms.protocol import JobRequest
from exporter.mms.signing import Credential
from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from exporter.simulator.faults.fault_plan import KINDS
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.faults.expectations import FAULT_CASES, FAULT_TARGETS
from tests.harness import harness_on
from tests.mms.conftest import RecordingObserver

pytestmark = pytest.mark.virtual_time

SOURCE = 2_000_001
WORLD = WorldOptions(
    sources=1, databases=1, tables=3, partitions=3, idle_share=1, stopped_share=0, failure_rate=0, retry_failure_rate=1
)
GRANTED = ("ListMmsDataSources", "ListMmsJobs", "ListMmsTables", "GetMmsPartition")
"""All except ListMmsPartitions."""


async def make_a_job_that_fails(simulator: Simulator, clock: ManualClock) -> None:
    """Create a job for a partition, and await its failure."""
    waiting = [each.id for each in simulator.world.truth().partitions(SOURCE) if each.status == "INIT"]
    simulator.identities.add(IDENTITY)
    source = StaticCredentials(Credential(IDENTITY.access_key_id, IDENTITY.access_key_secret))
    async with Client(simulator.url, source, RecordingObserver(), may_write=True) as client:
        await client.create_job(SOURCE, JobRequest(src_db_name="sales", partitions=(waiting[0],)))
    simulator.identities.add(replace(IDENTITY, actions=frozenset(f"odps:{each}" for each in GRANTED)))
    clock.advance(6000)


def named(served: Exposition) -> int:
    return len(served.having("mms_failed_partition_info"))


@pytest.mark.parametrize("kind", KINDS)
async def test_found_failures_are_kept_and_the_rest_is_found_after_the_fault(clock: ManualClock, kind: str) -> None:
    case, place = FAULT_CASES[kind], FAULT_TARGETS["GetMmsPartition"]
    account = {"timeout": "250ms" if case.is_slow else "10s"}
    async with (
        Simulator(World(WORLD, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, account, refresh={"stale_after": "1d"}), clock) as harness,
    ):
        await make_a_job_that_fails(simulator, clock)
        assert named(await harness.refresh()) == 1
        await make_a_job_that_fails(simulator, clock)
        simulator.faults.add(fault_like(case.fault, operation="GetMmsPartition"))
        served = await harness.refresh()
        assert named(served) == 1 + (place.effect(case) == "harmless")
        assert served.value("mms_partitions", status="FAILED") == 2, "nothing else suffers"
        assert served.value("mms_up") == 1
        simulator.faults.clear()
        served = await harness.refresh()
        assert named(served) == 2
        assert served.value("mms_datasource_refresh_success", source_id=str(SOURCE)) == 1
