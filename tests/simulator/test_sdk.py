"""The vendor's SDK calls every operation and reads the values of the world."""

import asyncio
from importlib import import_module
from typing import Any

import pytest

from exporter.mms.models.api_record import ApiRecord
from exporter.simulator import Fault, ManualClock, Simulator, World, apply_event
from exporter.simulator.world import events

SOURCE = "2000001"

# The SDK is untyped and does not export its names.
sdk: Any = import_module("alibabacloud_maxcompute20220104.models")
open_api: Any = import_module("alibabacloud_tea_openapi.models")
Client: Any = import_module("alibabacloud_maxcompute20220104.client").Client
Sdk = Any


@pytest.fixture
def client(simulator: Simulator) -> Sdk:
    endpoint = simulator.url.removeprefix("http://")
    fake = {"access_key_id": "LTAI-EXAMPLE", "access_key_secret": "not-a-secret"}
    return Client(open_api.Config(endpoint=endpoint, protocol="HTTP", **fake))


def _as_row(record: ApiRecord) -> dict[str, Any]:
    """Return a record by API names, without unknown fields."""
    names = zip(record.__struct_fields__, record.__struct_encode_fields__, strict=True)
    facts = ((encoded, getattr(record, name)) for name, encoded in names if name not in {"config", "schema"})
    return {name: list(value) if isinstance(value, tuple) else value for name, value in facts if value is not None}


def _without_newlines(read: Sdk) -> dict[str, Any]:
    """Drop stray newlines and empty texts, as records do."""
    facts = ((name, value.rstrip("\n") if isinstance(value, str) else value) for name, value in read.to_map().items())
    return {
        name: value for name, value in facts if value is not None and value != "" and name not in {"config", "schema"}
    }


async def test_data_sources(client: Sdk, world: World) -> None:
    body = (await asyncio.to_thread(client.list_mms_data_sources, sdk.ListMmsDataSourcesRequest())).body
    truth = world.truth().data_sources()
    rows = [_without_newlines(row) for row in body.data.object_list]
    assert [row | {"type": row["type"].upper()} for row in rows] == [_as_row(row) for row in truth.values()]
    assert body.data.total == len(truth) == 7


async def test_databases(client: Sdk, world: World) -> None:
    truth = [_as_row(database) for database in world.truth().databases(int(SOURCE))]
    data = (await asyncio.to_thread(client.list_mms_dbs, SOURCE, sdk.ListMmsDbsRequest(page_size=100))).body.data
    rows = [_without_newlines(row) for row in data.object_list]
    assert [{name: row[name] for name in known} for row, known in zip(rows, truth, strict=True)] == truth
    assert data.total == len(truth)
    sorter = sdk.ListMmsDbsRequestSorter(size="desc")
    request = sdk.ListMmsDbsRequest(sorter=sorter, status="PART_DONE", name=truth[0]["name"][:3])
    data = (await asyncio.to_thread(client.list_mms_dbs, SOURCE, request)).body.data
    found = [row for row in truth if row["status"] == "PART_DONE" and truth[0]["name"][:3] in row["name"]]
    assert found
    assert [row.id for row in data.object_list] == [
        row["id"] for row in sorted(found, key=lambda row: row["size"], reverse=True)
    ]


async def test_jobs(client: Sdk, world: World) -> None:
    request = sdk.ListMmsJobsRequest(page_num=1, page_size=100)
    data = (await asyncio.to_thread(client.list_mms_jobs, SOURCE, request)).body.data
    truth = list(world.truth().jobs(int(SOURCE)))
    assert [_without_newlines(row) for row in data.object_list] == [_as_row(job) for job in truth]
    assert data.total == len(truth)


async def test_jobs_sorted_and_filtered(client: Sdk, world: World) -> None:
    request = sdk.ListMmsJobsRequest(stopped=0, sorter=sdk.ListMmsJobsRequestSorter(status="asc"), page_size=100)
    data = (await asyncio.to_thread(client.list_mms_jobs, SOURCE, request)).body.data
    truth = sorted(job.status or "" for job in world.truth().jobs(int(SOURCE)) if not job.stopped)
    assert [row.status for row in data.object_list] == truth


async def test_one_job(client: Sdk, world: World) -> None:
    job = next(world.truth().jobs(int(SOURCE)))
    data = (await asyncio.to_thread(client.get_mms_job, SOURCE, str(job.id))).body.data
    assert (data.id, data.name, data.status, data.task_num) == (job.id, job.name, job.status, job.task_num)


async def test_tables(client: Sdk, world: World) -> None:
    request = sdk.ListMmsTablesRequest(status=["DONE", "FAILED"], page_size=100)
    data = (await asyncio.to_thread(client.list_mms_tables, SOURCE, request)).body.data
    truth = [table for table in world.truth().tables(int(SOURCE)) if table.status in {"DONE", "FAILED"}]
    assert [_without_newlines(row) for row in data.object_list] == [_as_row(table) for table in truth]
    one = (await asyncio.to_thread(client.get_mms_table, SOURCE, str(truth[0].id))).body
    assert _without_newlines(one.data) == _as_row(truth[0])


async def test_partitions(client: Sdk, world: World) -> None:
    request = sdk.ListMmsPartitionsRequest(status=["DOING"], page_size=100)
    data = (await asyncio.to_thread(client.list_mms_partitions, SOURCE, request)).body.data
    truth = [partition for partition in world.truth().partitions(int(SOURCE)) if partition.status == "DOING"]
    assert [_without_newlines(row) for row in data.object_list] == [_as_row(partition) for partition in truth]
    one = (await asyncio.to_thread(client.get_mms_partition, SOURCE, str(truth[0].id))).body
    assert _without_newlines(one.data) == _as_row(truth[0])


async def test_changed_partitions(client: Sdk, clock: ManualClock, world: World) -> None:
    apply_event(world, events.ScanMetadata(source_id=int(SOURCE), seconds=100, share=0.5))
    clock.advance(100)
    request = sdk.ListMmsPartitionsRequest(updated=True, page_size=100)
    data = (await asyncio.to_thread(client.list_mms_partitions, SOURCE, request)).body.data
    truth = [partition for partition in world.truth().partitions(int(SOURCE)) if partition.updated]
    assert truth
    assert [_without_newlines(row) for row in data.object_list] == [_as_row(partition) for partition in truth[:100]]
    assert data.total == len(truth)


async def test_a_metadata_scan(client: Sdk, clock: ManualClock, world: World) -> None:
    scan_id = apply_event(world, events.ScanMetadata(source_id=int(SOURCE), seconds=100, failed=True))
    clock.advance(50)
    data = (await asyncio.to_thread(client.get_mms_fetch_metadata_job, SOURCE, str(scan_id))).body.data
    truth = world.truth().scan(int(SOURCE))
    assert truth is not None
    assert (data.id, data.source_id, data.status, data.progress) == (scan_id, int(SOURCE), "DOING", truth.progress)
    assert (data.end_time, data.start_time is None, "partitions" in data.result) == (None, False, True)
    clock.advance(50)
    data = (await asyncio.to_thread(client.get_mms_fetch_metadata_job, SOURCE, str(scan_id))).body.data
    assert (data.status, data.error_msg == "", data.end_time is None) == ("FAILED", False, False)


async def test_tasks(client: Sdk, world: World) -> None:
    job = next(job for job in world.truth().jobs(int(SOURCE)) if job.status == "DOING" and not job.stopped)
    request = sdk.ListMmsTasksRequest(job_id=job.id, page_size=100)
    data = (await asyncio.to_thread(client.list_mms_tasks, SOURCE, request)).body.data
    assert data.total == job.task_num
    assert {(row.job_id, row.job_name, row.src_db_name) for row in data.object_list} == {
        (job.id, job.name, job.src_db_name)
    }
    assert sum(row.status == "DONE" for row in data.object_list) == job.task_done


async def test_task_logs(client: Sdk, world: World) -> None:
    tasks = ((source, task) for source in world.truth().data_sources() for task in world.truth().tasks(source))
    source, failed = next((source, task) for source, task in tasks if (task.status or "").endswith("_FAILED"))
    rows = (await asyncio.to_thread(client.list_mms_task_logs, str(source), str(failed.id))).body.data
    assert {(row.task_id, row.source_id) for row in rows} == {(failed.id, source)}
    assert (rows[-1].status, rows[-1].msg == "ok", rows[-1].action == "") == (failed.status, False, False)
    assert rows[-1].create_time.rstrip() == failed.end_time


async def test_timers_and_their_logs(client: Sdk, clock: ManualClock, world: World) -> None:
    nightly = events.CreateTimer(
        source_id=int(SOURCE), database="sales", name="nightly", schedule_type="Hourly", value="00"
    )
    timer_id = apply_event(world, nightly)
    clock.advance(7200)
    data = (await asyncio.to_thread(client.list_mms_timers, SOURCE, sdk.ListMmsTimersRequest(name="night"))).body.data
    ((timer, logs),) = world.truth().timers(int(SOURCE)).items()
    row = _without_newlines(data.object_list[0])
    assert (data.total, row["scheduleType"], row["dbId"]) == (1, "Hourly", 1)
    assert row | {"scheduleType": "HOURLY"} == row | _as_row(timer)
    request = sdk.ListMmsTimerLogsRequest(page_size=1)
    data = (await asyncio.to_thread(client.list_mms_timer_logs, SOURCE, str(timer_id), request)).body.data
    row = _without_newlines(data.object_list[0])
    assert (data.total, row) == (2, row | _as_row(logs[-1]))
    jobs = (await asyncio.to_thread(client.list_mms_jobs, SOURCE, sdk.ListMmsJobsRequest(timer_id=timer_id))).body.data
    assert jobs.total == sum(log.msg == "start job success" for log in logs)


async def test_a_created_job(client: Sdk, clock: ManualClock, world: World) -> None:
    request = sdk.CreateMmsJobRequest(src_db_name="sales", name="again", task_type="HIVE", eta="2025-07-01")
    task_id = str((await asyncio.to_thread(client.create_mms_job, SOURCE, request)).body.data.async_task_id)
    task = (await asyncio.to_thread(client.get_mms_async_task, SOURCE, task_id)).body.data
    assert (task.status, task.running, task.object_id) == ("DOING", True, None)
    clock.advance(world.options.async_task_seconds)
    task = (await asyncio.to_thread(client.get_mms_async_task, SOURCE, task_id)).body.data
    assert (task.status, task.running, task.progress) == ("DONE", False, 100)
    data = (await asyncio.to_thread(client.list_mms_jobs, SOURCE, sdk.ListMmsJobsRequest(name="again"))).body.data
    job = data.object_list[0]
    assert (data.total, job.id, job.type, job.src_db_name, job.eta) == (
        1,
        task.object_id,
        "Database",
        "sales",
        "2025-07-01",
    )


async def test_an_error_is_understood(client: Sdk, simulator: Simulator) -> None:
    simulator.faults.add(Fault(kind="throttle", status=400, code="Throttling.Api", retry_after_ms=2000))
    with pytest.raises(Exception, match=r"Throttling\.Api") as raised:
        await asyncio.to_thread(client.list_mms_data_sources, sdk.ListMmsDataSourcesRequest())
    assert raised.value.status_code == 400  # type: ignore[attr-defined] # the SDK's own exception
