"""CreateMmsJob migrates the unfinished units of its scope, and rejects unknown objects."""

from collections.abc import Callable
from typing import Any

import pytest

from exporter.mms.models import records
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.api import creation
from exporter.simulator.world import events

from .caller import Caller

SOURCE = 2000001
JOBS = f"/{SOURCE}/jobs"


@pytest.fixture
def world(clock: ManualClock) -> World:
    """Provide a static source with many failed and new units."""
    options = WorldOptions(
        sources=1, idle_share=1.0, special_sources=False, tables=30, failure_rate=0.2, untouched_share=0.3
    )
    return World(options, clock=clock)


class Units:
    """Status of each unit by database, table and value."""

    def __init__(self, world: World) -> None:
        truth = world.truth()
        plain = (table for table in truth.tables(SOURCE) if not table.has_partitions)
        self.status: dict[tuple[str | None, str | None, str], str | None] = {}
        self.status |= {(table.db_name, table.name, ""): table.status for table in plain}
        for row in truth.partitions(SOURCE):
            self.status[row.db_name, row.table_name, row.value or ""] = row.status

    def changed_since(self, before: "Units") -> set[tuple[str | None, str | None, str]]:
        return {unit for unit, status in self.status.items() if before.status[unit] != status}

    def left(self) -> set[tuple[str | None, str | None, str]]:
        return {unit for unit, status in self.status.items() if status != "DONE"}


async def _created(caller: Caller, clock: ManualClock, body: object) -> dict[str, Any]:
    """Create a job, wait for it, and return its row."""
    number = (await caller.post("CreateMmsJob", JOBS, body)).data["asyncTaskId"]
    clock.advance(15)
    task = (await caller.get("GetMmsAsyncTask", f"/{SOURCE}/asyncTasks/{number}")).data
    row: dict[str, Any] = (await caller.get("ListMmsJobs", JOBS)).rows[0]
    assert row["id"] == task["objectId"]
    return row


def _partitioned(world: World, status: str) -> records.Table:
    return next(t for t in world.truth().tables(SOURCE) if t.has_partitions and t.status == status)


SCOPES: list[tuple[dict[str, Any], Callable[[str | None, str | None, str], bool]]] = [
    ({"srcDbName": "sales"}, lambda db, _table, _value: db == "sales"),
    (
        {"srcDbName": "sales", "tables": ["orders", "stock"]},
        lambda db, t, _: db == "sales" and t in {"orders", "stock"},
    ),
    ({"srcDbName": "sales", "tableBlackList": ["orders"]}, lambda db, t, _: db == "sales" and t != "orders"),
    ({"srcDbName": "logs", "tableWhiteList": ["clicks"]}, lambda db, t, _: db == "logs" and t == "clicks"),
    (
        {"srcDbName": "sales", "tableWhiteList": ["orders"], "tableBlackList": ["clicks"]},
        lambda db, t, _: db == "sales" and t != "clicks",
    ),
]


@pytest.mark.parametrize(
    ("body", "holds"), SCOPES, ids=lambda value: "+".join(value) if isinstance(value, dict) else ""
)
async def test_only_the_scope_is_migrated(
    caller: Caller,
    clock: ManualClock,
    world: World,
    body: dict[str, Any],
    holds: Callable[[str | None, str | None, str], bool],
) -> None:
    apply_event(world, events.Fail(source_id=SOURCE, share=0.3))
    before = Units(world)
    job = await _created(caller, clock, body)
    clock.advance(world.options.job_seconds)
    after = Units(world)
    assert after.changed_since(before) == {unit for unit in before.left() if holds(*unit)}
    assert not {unit for unit in after.left() if holds(*unit)}
    assert job["type"] == ("Tables" if "tables" in body else "Database")


@pytest.mark.parametrize(
    ("expression", "keep"),
    [
        ("ds=20240102", lambda value: "ds=20240102" in value),
        ("ds='20240102'", lambda value: "ds=20240102" in value),
        ("ds >= '20240103' and ds <> 20240105", lambda value: value[3:11] >= "20240103" and value[3:11] != "20240105"),
        ("ds > 9", lambda _: True),
        ("ds IN (20240102, '20240104')", lambda value: value[3:11] in {"20240102", "20240104"}),
        ("(ds=20240101 OR ds=20240102) AND ds<>20240101", lambda value: value[3:11] == "20240102"),
        ("ds<20240103/ds>20240101", lambda value: value[3:11] == "20240102"),
    ],
)
async def test_partition_filters_select_by_value(
    caller: Caller, clock: ManualClock, world: World, expression: str, keep: Callable[[str], bool]
) -> None:
    table = _partitioned(world, "INIT")
    before = Units(world)
    body = {"srcDbName": table.db_name, "tables": [table.name], "partitionFilters": {table.name: expression}}
    job = await _created(caller, clock, body)
    clock.advance(world.options.job_seconds)
    expected = {unit for unit in before.left() if unit[:2] == (table.db_name, table.name) and keep(unit[2])}
    assert Units(world).changed_since(before) == expected
    assert expected
    assert (job["type"], job["config"]["partitionFilters"]) == ("Partitions", {table.name: expression})


async def test_partitions_are_migrated_by_id(caller: Caller, clock: ManualClock, world: World) -> None:
    apply_event(world, events.Fail(source_id=SOURCE, share=0.5))
    failed = [row for row in world.truth().partitions(SOURCE) if row.status == "FAILED"]
    chosen = [row for row in failed if row.db_name == failed[0].db_name][:5]
    before = Units(world)
    job = await _created(caller, clock, {"partitions": [row.id for row in chosen]})
    clock.advance(world.options.job_seconds)
    assert Units(world).changed_since(before) == {(row.db_name, row.table_name, row.value or "") for row in chosen}
    assert (job["type"], sorted(job["config"]["partitions"])) == ("Partitions", sorted(row.id for row in chosen))


async def test_a_job_is_init_then_doing_then_done(caller: Caller, clock: ManualClock, world: World) -> None:
    row = await _created(caller, clock, {"srcDbName": "sales", "name": "again"})
    assert row["createTime"].strip() == world.site(SOURCE).time(world.seconds())
    seen = [(row["status"], row["taskDone"])]
    for _ in range(40):
        clock.advance(world.options.job_seconds / 40)
        row = (await caller.get("ListMmsJobs", JOBS, name="again")).rows[0]
        tasks = await caller.everything("ListMmsTasks", f"/{SOURCE}/tasks", jobId=row["id"])
        assert row["taskDone"] == sum(task["status"] == "DONE" for task in tasks)
        assert row["taskNum"] == len(tasks)
        seen.append((row["status"], row["taskDone"]))
    assert [status for status, _ in dict.fromkeys((status, None) for status, _ in seen)] == ["INIT", "DOING", "DONE"]
    assert seen == sorted(seen, key=lambda pair: pair[1])
    assert seen[-1] == ("DONE", row["taskNum"])


async def test_a_failed_unit_counts_as_a_retry(caller: Caller, clock: ManualClock, world: World) -> None:
    apply_event(world, events.Fail(source_id=SOURCE, table_ids=(1,)))
    row = await _created(caller, clock, {"srcDbName": "sales", "tables": ["orders"]})
    tasks = await caller.everything("ListMmsTasks", f"/{SOURCE}/tasks", jobId=row["id"])
    assert {task["retriedTimes"] for task in tasks} == {1}


async def test_a_job_without_pending_units_is_done(caller: Caller, clock: ManualClock, world: World) -> None:
    done = next(table for table in world.truth().tables(SOURCE) if table.status == "DONE")
    row = await _created(caller, clock, {"srcDbName": done.db_name, "tables": [done.name]})
    assert (row["status"], row["taskNum"], row["taskDone"]) == ("DONE", 0, 0)


async def test_retries_fail_at_their_rate(clock: ManualClock) -> None:
    options = WorldOptions(sources=1, idle_share=1.0, special_sources=False, untouched_share=1, retry_failure_rate=1)
    world = World(options, clock=clock)
    site = world.site(SOURCE)
    creation.create(site, world.at(site), b'{"srcDbName": "sales"}')
    clock.advance(options.job_seconds * 2)
    job = next(world.truth().jobs(SOURCE))
    assert (job.status, job.task_done) == ("FAILED", 0)
    statuses = {table.status for table in world.truth().tables(SOURCE) if table.db_name == "sales"}
    assert statuses == {"FAILED"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, (400, "InvalidParameter.srcDbName")),
        ({"srcDbName": "nowhere"}, (404, "DatabaseNotFound")),
        ({"srcDbName": "sales", "tables": ["nothing"]}, (404, "TableNotFound")),
        ({"srcDbName": "sales", "partitionFilters": {"nothing": "ds=1"}}, (404, "TableNotFound")),
        (
            {"srcDbName": "sales", "partitionFilters": {"orders": "nonsense"}},
            (400, "InvalidParameter.partitionFilters"),
        ),
        *(
            ({"srcDbName": "sales", "partitionFilters": {"orders": text}}, (400, "InvalidParameter.partitionFilters"))
            for text in ("", "ds != 1", "ds = ", "ds = 'a", "(ds = 1", "ds = 1 ds = 2", "ds IN ()", "(" * 5000)
        ),
        ({"partitions": [999999999]}, (404, "PartitionNotFound")),
        ({"srcDbName": "sales", "sourceId": 7}, (400, "InvalidParameter.sourceId")),
        ({"srcDbName": "sales", "surprise": 1}, (400, "InvalidParameter.Body")),
        ({"srcDbName": 5}, (400, "InvalidParameter.Body")),
    ],
)
async def test_an_invalid_scope_is_rejected(caller: Caller, world: World, body: object, code: tuple[int, str]) -> None:
    before = Units(world).status
    assert (await caller.post("CreateMmsJob", JOBS, body)).code == code
    assert Units(world).status == before
    assert not world.site(SOURCE).job_store.created


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"name":"\\ud800"}', b"\xff", b"[" * 100_000])
async def test_a_body_other_than_a_json_object_is_rejected(caller: Caller, body: bytes) -> None:
    reply = await caller.call("CreateMmsJob", JOBS, method="POST", body=body)
    assert reply.code == (400, "InvalidParameter.Body")


async def test_partitions_of_another_database_are_rejected(caller: Caller, world: World) -> None:
    row = next(row for row in world.truth().partitions(SOURCE) if row.db_name != "sales")
    reply = await caller.post("CreateMmsJob", JOBS, {"srcDbName": "sales", "partitions": [row.id]})
    assert reply.code == (400, "InvalidParameter.partitions")


async def test_two_jobs_do_not_migrate_a_unit_twice(caller: Caller, clock: ManualClock) -> None:
    """The second job has nothing to do after the first has started."""
    await _created(caller, clock, {"srcDbName": "sales"})
    clock.advance(200)
    running = (await caller.get("ListMmsJobs", JOBS)).rows[0]
    assert running["status"] == "DOING"
    second = await _created(caller, clock, {"srcDbName": "sales"})
    assert second["taskNum"] < running["taskNum"]


async def test_a_lost_answer_leaves_a_job_behind(
    caller: Caller, clock: ManualClock, simulator: Simulator, world: World
) -> None:
    simulator.faults.add(Fault(operation="CreateMmsJob", kind="lost_answer", times=1))
    with pytest.raises(OSError, match=r"reset|disconnected"):
        await caller.post("CreateMmsJob", JOBS, {"srcDbName": "sales", "name": "token-1"})
    clock.advance(world.options.async_task_seconds)
    assert (await caller.get("ListMmsJobs", JOBS, name="token-1")).data["total"] == 1


async def test_a_failed_asynchronous_task_creates_no_job(clock: ManualClock) -> None:
    options = WorldOptions(sources=1, idle_share=1.0, special_sources=False, async_task_failure_rate=1)
    world = World(options, clock=clock)
    site = world.site(SOURCE)
    before = Units(world).status, len(list(world.truth().jobs(SOURCE)))
    number = creation.create(site, world.at(site), b'{"srcDbName": "sales"}')["asyncTaskId"]
    clock.advance(options.job_seconds)
    task = creation.async_task(site, world.at(site), number)
    assert (task["status"], task.get("objectId"), "canary" in task["errorMsg"]) == ("FAILED", None, True)
    assert (Units(world).status, len(list(world.truth().jobs(SOURCE)))) == before


async def test_a_deleted_job_disappears_and_migrates_nothing(caller: Caller, clock: ManualClock, world: World) -> None:
    row = await _created(caller, clock, {"srcDbName": "sales"})
    before = Units(world)
    apply_event(world, events.RemoveJob(source_id=SOURCE, job_id=row["id"]))
    clock.advance(world.options.job_seconds)
    assert row["id"] not in {job.id for job in world.truth().jobs(SOURCE)}
    assert not Units(world).changed_since(before)
