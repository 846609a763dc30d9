"""Delays of lists and states: changes appear late, and only if an option says so."""

from dataclasses import replace
from typing import Any

import pytest

from exporter.simulator import ManualClock, World, WorldOptions, apply_event
from exporter.simulator.world import events

from .caller import Caller

SOURCE = 2000001
LAG = 60.0
STILL = WorldOptions(sources=1, idle_share=1.0, special_sources=False, incidents=False, stopped_share=0.0, tables=6)


@pytest.fixture
def world(clock: ManualClock) -> World:
    return World(STILL, clock=clock)


def lag(world: World, **lags: Any) -> None:
    world.options = replace(world.options, **lags)


async def created(caller: Caller, clock: ManualClock, **body: Any) -> int:
    """Create a job, wait for it, and return its id."""
    number = (await caller.post("CreateMmsJob", f"/{SOURCE}/jobs", {"name": "late", **body})).data["asyncTaskId"]
    clock.advance(15)
    task = (await caller.get("GetMmsAsyncTask", f"/{SOURCE}/asyncTasks/{number}")).data
    assert task["status"] == "DONE"
    job_id: int = task["objectId"]
    return job_id


@pytest.mark.parametrize("filters", [{}, {"name": "late"}, {"status": "DOING"}, {"srcDbName": "sales"}])
async def test_a_job_is_hidden_from_each_list_until_the_lag_is_over(
    caller: Caller, world: World, clock: ManualClock, filters: dict[str, str]
) -> None:
    lag(world, job_list_lag_seconds=LAG)
    apply_event(world, events.Fail(source_id=SOURCE, share=1.0))
    job_id = await created(caller, clock, srcDbName="sales")
    clock.advance(LAG - 1)
    before = (await caller.get("ListMmsJobs", f"/{SOURCE}/jobs", **filters)).data
    assert (await caller.get("GetMmsJob", f"/{SOURCE}/jobs/{job_id}")).data["id"] == job_id
    clock.advance(1)
    after = (await caller.get("ListMmsJobs", f"/{SOURCE}/jobs", **filters)).data
    assert job_id not in {row["id"] for row in before["objectList"]}
    assert job_id in {row["id"] for row in after["objectList"]}
    assert after["total"] == before["total"] + 1


async def test_the_status_of_a_job_lags_in_list_and_single_lookup(
    caller: Caller, world: World, clock: ManualClock
) -> None:
    apply_event(world, events.Fail(source_id=SOURCE, share=1.0))
    job_id = await created(caller, clock, srcDbName="sales")
    clock.advance(world.options.job_seconds)
    lag(world, job_status_lag_seconds=world.options.job_seconds)
    rows = (await caller.get("ListMmsJobs", f"/{SOURCE}/jobs", name="late")).rows
    row = (await caller.get("GetMmsJob", f"/{SOURCE}/jobs/{job_id}")).data
    assert {each["status"] for each in (*rows, row)} <= {"INIT", "DOING"}
    lag(world, job_status_lag_seconds=0.0)
    assert (await caller.get("GetMmsJob", f"/{SOURCE}/jobs/{job_id}")).data["status"] == "DONE"


@pytest.mark.parametrize(("kind", "other"), [("table", "partition"), ("partition", "table")])
async def test_tables_and_partitions_lag_independently(
    caller: Caller, world: World, clock: ManualClock, kind: str, other: str
) -> None:
    table = next(row for row in world.truth().tables(SOURCE) if row.has_partitions)
    partition = next(row for row in world.truth().partitions(SOURCE) if row.table_id == table.id)
    number = {"table": table.id, "partition": partition.id}
    apply_event(world, events.Succeed(source_id=SOURCE, table_ids=(table.id,)))
    clock.advance(LAG)
    apply_event(world, events.Fail(source_id=SOURCE, table_ids=(table.id,)))
    lag(world, **{f"{kind}_lag_seconds": LAG})

    async def status(of: str) -> str:
        answer = await caller.get(f"GetMms{of.capitalize()}", f"/{SOURCE}/{of}s/{number[of]}")
        rows = (await caller.get(f"ListMms{of.capitalize()}s", f"/{SOURCE}/{of}s", pageSize=100)).rows
        found = {row["status"] for row in rows if row["id"] == number[of]} | {answer.data["status"]}
        assert len(found) == 1
        return str(found.pop())

    assert (await status(kind), await status(other)) == ("DONE", "FAILED")
    clock.advance(LAG)
    assert await status(kind) == "FAILED"


def test_a_negative_lag_is_rejected() -> None:
    with pytest.raises(ValueError, match="out of range: job_list_lag_seconds"):
        WorldOptions(job_list_lag_seconds=-1.0)
