"""Timers run at their due times: each creates a job, or skips while earlier work is left, and says so in its log."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events

from .caller import Caller

SOURCE = 2000001
HOUR = 3600.0


@pytest.fixture
def world(clock: ManualClock) -> World:
    """Return a world without other jobs; its clock starts at 23:06:40 in the zone of MMS."""
    options = WorldOptions(
        sources=1, tables=6, untouched_share=1.0, running_jobs_per_source=0, finished_jobs_per_source=0,
        idle_share=0.0, stopped_share=0.0, special_sources=False, job_seconds=1000.0,
    )  # fmt: skip
    return World(options, clock=clock)


def add_timer(world: World, value: str = "30", database: str = "sales") -> int:
    """Add a timer, Daily if `value` has an hour, and return its id."""
    kind: Literal["Daily", "Hourly"] = "Daily" if ":" in value else "Hourly"
    event = events.CreateTimer(source_id=SOURCE, database=database, name=value, schedule_type=kind, value=value)
    return apply_event(world, event)


async def rows(caller: Caller, path: str, **query: str) -> list[Any]:
    """Return the rows of a list."""
    operation = {"timers": "ListMmsTimers", "logs": "ListMmsTimerLogs", "jobs": "ListMmsJobs"}[path.rpartition("/")[2]]
    data: Any = (await caller.get(operation, f"/{SOURCE}/{path}", **query)).json["data"]
    return list(data["objectList"])


async def test_a_due_timer_creates_a_job(caller: Caller, clock: ManualClock, world: World) -> None:
    timer = add_timer(world)
    assert await rows(caller, f"timers/{timer}/logs") == []
    clock.advance(HOUR)
    (log,) = await rows(caller, f"timers/{timer}/logs")
    assert (log["createTime"], log["status"], log["msg"]) == ("2025-06-15 23:30:00\n", "DONE", "start job success")
    (job,) = await rows(caller, "jobs", timerId=str(timer))
    assert (job["srcDbName"], job["status"], job["createTime"]) == ("sales", "DONE", "2025-06-15 23:30:15\n")
    assert await rows(caller, "jobs", timerId="99") == []


async def test_a_timer_skips_while_earlier_work_is_left(caller: Caller, clock: ManualClock, world: World) -> None:
    timer = add_timer(world)
    job = apply_event(world, events.CreateJob(source_id=SOURCE, database="sales", seconds=2 * HOUR))
    other = add_timer(world, database="finance")
    clock.advance(HOUR)
    (log,) = await rows(caller, f"timers/{timer}/logs")
    assert log["status"] == "FAILED"
    assert log["msg"].startswith("There are tasks those are running or ready to run for sales.")
    assert await rows(caller, "jobs", timerId=str(timer)) == []
    assert len(await rows(caller, "jobs", timerId=str(other))) == 1, "another database has no such work"
    apply_event(world, events.StopJob(source_id=SOURCE, job_id=job))
    clock.advance(HOUR)
    newest, _ = await rows(caller, f"timers/{timer}/logs")
    assert (newest["createTime"], newest["msg"]) == ("2025-06-16 00:30:00\n", "start job success")


async def test_a_daily_timer_is_due_in_the_zone_of_mms(caller: Caller, clock: ManualClock, world: World) -> None:
    timer = add_timer(world, "02:15")
    clock.advance(24 * HOUR)
    (log,) = await rows(caller, f"timers/{timer}/logs")
    due = datetime(2025, 6, 16, 2, 15, tzinfo=ZoneInfo(world.options.zone)).timestamp()
    assert log["createTime"] == "2025-06-16 02:15:00\n"
    assert world.start < due < world.start + 24 * HOUR


async def test_a_stopped_timer_does_not_run(caller: Caller, clock: ManualClock, world: World) -> None:
    timer = add_timer(world)
    apply_event(world, events.StopTimer(source_id=SOURCE, timer_id=timer))
    clock.advance(3 * HOUR)
    assert await rows(caller, f"timers/{timer}/logs") == []
    assert [row["stopped"] for row in await rows(caller, "timers", stopped="true")] == [True]
    apply_event(world, events.StopTimer(source_id=SOURCE, timer_id=timer, stopped=False))
    assert await rows(caller, f"timers/{timer}/logs") == [], "due times that passed meanwhile are not made up for"
    clock.advance(HOUR)
    assert len(await rows(caller, f"timers/{timer}/logs")) == 1
    apply_event(world, events.RemoveTimer(source_id=SOURCE, timer_id=timer))
    assert await rows(caller, "timers") == []


async def test_timers_are_filtered(caller: Caller, world: World) -> None:
    add_timer(world), add_timer(world, database="finance")
    assert [row["id"] for row in await rows(caller, "timers", srcDbName="fin")] == [2]
    table = next(each.name or "" for each in world.truth().tables(SOURCE) if each.db_name == "sales")
    assert 1 in [row["id"] for row in await rows(caller, "timers", srcTableName=table)]
    assert await rows(caller, "timers", srcTableName="no_such_table") == []
    assert (await caller.get("ListMmsTimerLogs", f"/{SOURCE}/timers/9/logs")).status == 404


async def test_timers_of_the_options_run_from_the_start(clock: ManualClock) -> None:
    world = World(WorldOptions(sources=2, timers=2), clock=clock)
    clock.advance(HOUR)
    logs = [log for source in world.source_ids() for rows in world.truth().timers(source).values() for log in rows]
    assert len(logs) == 2 * 2, "each is due once an hour"


@pytest.fixture
async def simulator(world: World) -> AsyncIterator[Simulator]:
    async with Simulator(world) as served:
        yield served
