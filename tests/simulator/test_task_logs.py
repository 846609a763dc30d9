"""Each task has a log; that of a failed one says why, and says it again later."""

import re
from collections import Counter
from typing import Any

import pytest

from exporter.mms.models.statuses import TASK_PHASES, TaskStatus
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from exporter.simulator.world.job_store import FIRST_CREATED_ID

from .caller import Caller

SOURCE = 2000001


async def logs_of(caller: Caller, task: int) -> list[Any]:
    """Return the rows of a task's log."""
    data: Any = (await caller.get("ListMmsTaskLogs", f"/{SOURCE}/tasks/{task}/logs")).json["data"]
    assert isinstance(data, list)
    return data


@pytest.fixture
def world(clock: ManualClock) -> World:
    return World(WorldOptions(sources=1, tables=60, failure_rate=0.5, special_sources=False), clock=clock)


async def test_the_log_of_each_failed_task_ends_with_its_reason(caller: Caller, world: World) -> None:
    failed = [task for task in world.truth().tasks(SOURCE) if (task.status or "").endswith("_FAILED")]
    assert {task.status for task in failed} == {f"{phase}_FAILED" for phase in TASK_PHASES}
    messages = Counter[str]()
    for task in failed:
        *before, last = await logs_of(caller, task.id)
        assert [row["msg"] for row in before] == ["ok"] * TASK_PHASES.index((task.status or "").removesuffix("_FAILED"))
        assert (last["status"], last["taskId"], last["createTime"].rstrip()) == (task.status, task.id, task.end_time)
        messages[last["msg"].split()[0]] += 1
    assert len(messages) > len(TASK_PHASES)


async def test_jobs_fail_without_the_permission_to_write_and_only_those(
    caller: Caller, world: World, clock: ManualClock
) -> None:
    apply_event(world, events.SetPermission(source_id=SOURCE, granted=False))
    assert apply_event(world, events.RetryFailed(source_id=SOURCE))
    clock.advance(3600)
    apply_event(world, events.SetPermission(source_id=SOURCE, granted=True))
    denied = [task for task in world.truth().tasks(SOURCE) if (task.job_id or 0) >= FIRST_CREATED_ID]
    assert {task.status for task in denied} == {"DATA_FAILED"}
    for task in denied:
        *_, last = await logs_of(caller, task.id)
        table = f"{{acs:odps:*:projects/mms_dst/tables/{task.src_table_name}}}"
        assert f"You have NO privilege 'odps:Update' on {table}" in last["msg"]
    tables = {task.table_id for task in denied}
    assert apply_event(world, events.RetryFailed(source_id=SOURCE))
    clock.advance(3600)
    assert [each.id for each in world.truth().tables(SOURCE) if each.status == "FAILED" and each.id in tables] == []


async def test_a_log_never_changes_once_its_task_has_ended(caller: Caller, world: World, clock: ManualClock) -> None:
    failed = [task.id for task in world.truth().tasks(SOURCE) if (task.status or "").endswith("_FAILED")][:5]
    before = [await logs_of(caller, task) for task in failed]
    clock.advance(5000)
    assert [await logs_of(caller, task) for task in failed] == before


async def test_tasks_that_did_not_fail_have_logs_too(caller: Caller, world: World) -> None:
    by_status = {task.status: task.id for task in world.truth().tasks(SOURCE)}
    assert [row["status"] for row in await logs_of(caller, by_status[TaskStatus.DONE])] == [
        f"{phase}_DONE" for phase in TASK_PHASES
    ]
    assert await logs_of(caller, by_status[TaskStatus.INIT]) == []


async def test_a_failed_verification_counts_the_rows_of_the_source(caller: Caller, world: World) -> None:
    tables = {table.id: table for table in world.truth().tables(SOURCE) if not table.partitions}
    failed = [each for each in world.truth().tasks(SOURCE) if each.status == TaskStatus.VERIFICATION_FAILED]
    counts = {}
    for task in failed:
        if task.table_id in tables:
            message = (await logs_of(caller, task.id))[-1]["msg"]
            if found := re.fullmatch(r"source Count: (\d+), dest Count: (\d+)", message):
                counts[task.table_id] = tuple(map(int, found.groups()))
    assert counts
    for number, (source, destination) in counts.items():
        assert destination < source == tables[number].num_rows


async def test_an_unknown_task_is_not_found(caller: Caller) -> None:
    for task in (0, 1, 99 * 10**7):
        reply = await caller.get("ListMmsTaskLogs", f"/{SOURCE}/tasks/{task}/logs")
        assert reply.status == 404


async def test_an_event_sets_the_message_of_one_task_or_all(caller: Caller, world: World) -> None:
    one, other = [task.id for task in world.truth().tasks(SOURCE) if (task.status or "").endswith("_FAILED")][:2]
    for task, text in ((0, "of all"), (one, "of one")):
        apply_event(world, events.SetText(source_id=SOURCE, field="msg", text=text, task_id=task))
    assert (await logs_of(caller, one))[-1]["msg"] == "of one"
    assert (await logs_of(caller, other))[-1]["msg"] == "of all"


async def test_faults_change_rows_of_a_log(caller: Caller, simulator: Simulator, world: World) -> None:
    failed = next(task.id for task in world.truth().tasks(SOURCE) if (task.status or "").endswith("_FAILED"))
    simulator.faults.add(Fault(kind="nulls", operation="ListMmsTaskLogs", fields=("msg",)))
    assert {row["msg"] for row in await logs_of(caller, failed)} == {None}
