"""Paging, text filters and parameters of every list; invalid values are rejected."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from exporter.mms.models import records, statuses
from exporter.simulator import Simulator, World, WorldOptions, apply_event
from exporter.simulator.api.parameters import Query, Refusal, like
from exporter.simulator.world import events
from exporter.simulator.world.world import ManualClock

from .caller import Caller

SOURCE = 2000001
DBS, JOBS, TASKS, TABLES, PARTITIONS = (
    f"/{SOURCE}/{name}" for name in ("dbs", "jobs", "tasks", "tables", "partitions")
)
PATHS = {
    "ListMmsDbs": DBS,
    "ListMmsJobs": JOBS,
    "ListMmsTasks": TASKS,
    "ListMmsTables": TABLES,
    "ListMmsPartitions": PARTITIONS,
}


def _ids(rows: list[Any]) -> list[int]:
    return [row["id"] for row in rows]


async def test_without_a_page_number_all_data_sources_are_listed(caller: Caller, simulator: Simulator) -> None:
    simulator.page_size_cap = 2
    data = (await caller.get("ListMmsDataSources")).data
    assert (len(data["objectList"]), data["total"], data["pageNum"]) == (7, 7, 1)


@pytest.mark.parametrize("operation", PATHS)
async def test_the_default_page_size_is_20(caller: Caller, operation: str) -> None:
    data = (await caller.get(operation, PATHS[operation])).data
    assert (len(data["objectList"]), data["pageSize"]) == (min(20, data["total"]), 20)


@pytest.mark.parametrize("operation", PATHS)
async def test_pages_together_are_the_whole_list_in_order(caller: Caller, operation: str) -> None:
    whole = await caller.everything(operation, PATHS[operation])
    pages = [await caller.get(operation, PATHS[operation], pageNum=number, pageSize=7) for number in (1, 2, 3)]
    assert [row for page in pages for row in page.rows] == whole[:21]
    assert {page.data["total"] for page in pages} == {len(whole)}


async def test_a_page_after_the_last_is_empty(caller: Caller) -> None:
    data = (await caller.get("ListMmsJobs", JOBS, pageNum=1000, pageSize=10)).data
    assert (data["objectList"], data["pageNum"], data["pageSize"]) == ([], 1000, 10)


async def test_the_page_size_is_limited(caller: Caller, simulator: Simulator) -> None:
    simulator.page_size_cap = 3
    data = (await caller.get("ListMmsTables", TABLES, pageNum=1, pageSize=50)).data
    assert (len(data["objectList"]), data["pageSize"]) == (3, 3)


async def test_an_operation_can_have_its_own_page_size_limit(caller: Caller, simulator: Simulator) -> None:
    simulator.page_size_caps["ListMmsTables"] = 1
    sizes = [len((await caller.get(name, PATHS[name], pageNum=1, pageSize=3)).rows) for name in PATHS]
    assert dict(zip(PATHS, sizes, strict=True)) == {**dict.fromkeys(PATHS, 3), "ListMmsTables": 1}


@pytest.mark.parametrize("operation", PATHS)
async def test_a_list_can_be_reversed(caller: Caller, simulator: Simulator, operation: str) -> None:
    usual = await caller.everything(operation, PATHS[operation])
    simulator.reversed_lists.add(operation)
    assert await caller.everything(operation, PATHS[operation]) == usual[::-1]


@pytest.mark.parametrize(
    ("operation", "path", "query"),
    [
        ("ListMmsDataSources", "", {"pageNum": 0}),
        ("ListMmsDataSources", "", {"pageNum": "one"}),
        ("ListMmsDataSources", "", {"pageSize": -1}),
        ("ListMmsDataSources", "", {"pageNum": "9" * 30}),
        ("ListMmsDataSources", "", {"type": "NOPE"}),
        ("ListMmsDataSources", "", {"nope": "1"}),
        ("ListMmsJobs", JOBS, {"status": "NOPE"}),
        ("ListMmsJobs", JOBS, {"status": "done"}),
        ("ListMmsJobs", JOBS, {"stopped": "maybe"}),
        ("ListMmsJobs", JOBS, {"sorter.status": "up"}),
        ("ListMmsJobs", JOBS, {"jobId": "1"}),
        ("ListMmsJobs", "/nope/jobs", {}),
        ("ListMmsDbs", DBS, {"status": '["DONE"]'}),
        ("ListMmsDbs", DBS, {"sorter": '{"name":"asc"}'}),
        ("ListMmsDbs", DBS, {"sorter": '{"size":"up"}'}),
        ("ListMmsDbs", DBS, {"sorter": "size"}),
        ("ListMmsTasks", TASKS, {"status": "DOING"}),
        ("ListMmsTasks", TASKS, {"jobId": "x"}),
        ("ListMmsTasks", TASKS, {"status": '["DONE"]'}),
        ("ListMmsTasks", TASKS, {"state": "DONE"}),
        ("ListMmsTables", TABLES, {"status": "FAILED"}),
        ("ListMmsTables", TABLES, {"status": '["NOPE"]'}),
        ("ListMmsTables", TABLES, {"lastDdlTimeStart": "yesterday"}),
        ("ListMmsPartitions", PARTITIONS, {"status": '["PART_DONE"]'}),
        ("ListMmsPartitions", PARTITIONS, {"tableId": "1.5"}),
        ("GetMmsTable", f"{TABLES}/x", {}),
        ("GetMmsTable", f"{TABLES}/1", {"verbose": "1"}),
        ("GetMmsPartition", f"{PARTITIONS}/-1", {}),
    ],
)
async def test_invalid_parameters_are_rejected(
    caller: Caller, operation: str, path: str, query: dict[str, str]
) -> None:
    assert (await caller.get(operation, path, **query)).status == 400


@pytest.mark.parametrize(
    ("operation", "path", "code"),
    [
        ("ListMmsJobs", "/1999999/jobs", "DataSourceNotFound"),
        ("ListMmsDbs", "/2000008/dbs", "DataSourceNotFound"),
        ("ListMmsTables", "/2000008/tables", "DataSourceNotFound"),
        ("GetMmsJob", f"{JOBS}/999999", "JobNotFound"),
        ("GetMmsTable", f"{TABLES}/999999", "TableNotFound"),
        ("GetMmsTable", f"{TABLES}/0", "TableNotFound"),
        ("GetMmsPartition", f"{PARTITIONS}/0", "PartitionNotFound"),
        ("GetMmsPartition", f"{PARTITIONS}/99999999", "PartitionNotFound"),
        ("GetMmsAsyncTask", f"/{SOURCE}/asyncTasks/1", "AsyncTaskNotFound"),
    ],
)
async def test_a_missing_object_is_not_found(caller: Caller, operation: str, path: str, code: str) -> None:
    assert (await caller.get(operation, path)).code == (404, code)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("orders", "all_orders_7", True),
        ("ORDERS", "orders", True),
        ("o_ders", "orders", True),
        ("o_ders", "oders", False),
        ("a%z", "xx a to z", True),
        ("a.z", "abz", False),
        ("%", "", True),
        ("a%z", "a\nz", True),
    ],
)
def test_text_filters_match_like_sql(pattern: str, text: str, matches: bool) -> None:  # noqa: FBT001 - a column of the table
    assert like(pattern)(text) is matches


def test_a_repeated_parameter_is_rejected() -> None:
    with pytest.raises(Refusal, match="more than once"):
        Query([("name", "a"), ("name", "b")], {"name"})


async def test_data_sources_by_name_type_and_region(caller: Caller, world: World) -> None:
    apply_event(world, events.SetText(source_id=2000003, field="region", text="cn-beijing"))
    truth = world.truth().data_sources().values()
    by_name = await caller.everything("ListMmsDataSources", "", name="e-s_les")
    by_type = await caller.everything("ListMmsDataSources", "", type="HIVE")
    by_region = await caller.everything("ListMmsDataSources", "", region="cn-beijing")
    assert _ids(by_name) == [row.id for row in truth if "e-sales" in (row.name or "")]
    assert _ids(by_type) == [row.id for row in truth if row.type == "HIVE"]
    assert _ids(by_region) == [2000003]
    assert len(by_name) > 1 < len(by_type)


JOB_FILTERS: list[tuple[dict[str, str], Callable[[records.Job], bool]]] = [
    *(({"status": status}, lambda job, status=status: job.status == status) for status in map(str, statuses.JobStatus)),
    ({"stopped": "1"}, lambda job: job.stopped is True),
    ({"stopped": "false"}, lambda job: job.stopped is False),
    ({"status": "DOING", "stopped": "0"}, lambda job: job.status == "DOING" and not job.stopped),
    ({"status": "DONE", "stopped": "0"}, lambda job: job.status == "DONE"),
    ({"name": "_sales_"}, lambda job: "sales" in (job.name or "")),
    ({"srcDbName": "finance"}, lambda job: "finance" in (job.src_db_name or "")),
    ({"dstDbName": "mms"}, lambda _: True),
    ({"dstDbName": "elsewhere"}, lambda _: False),
    ({"timerId": "1"}, lambda _: False),
]


@pytest.mark.parametrize(
    ("query", "keep"), JOB_FILTERS, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
async def test_jobs_are_filtered(
    caller: Caller, clock: ManualClock, world: World, query: dict[str, str], keep: Callable[[records.Job], bool]
) -> None:
    await caller.post("CreateMmsJob", JOBS, {"srcDbName": "sales"})
    clock.advance(16)
    truth, found = world.truth(), 0
    for source_id in world.source_ids():
        reply = await caller.get("ListMmsJobs", f"/{source_id}/jobs", pageSize=100, **query)
        expected = [job.id for job in truth.jobs(source_id) if keep(job)]
        assert (_ids(reply.rows), reply.data["total"]) == (expected, len(expected))
        found += len(expected)
    assert (found > 0) is not (query.keys() == {"timerId"} or query.get("dstDbName") == "elsewhere")


HIDDEN: list[tuple[dict[str, str], Callable[[records.Job], bool]]] = [
    *(
        ({"status": status.value}, lambda job, status=status: job.status == status and not job.stopped)
        for status in statuses.JobStatus
    ),
    ({"status": "DOING", "stopped": "1"}, lambda job: job.status == "DOING" and not job.stopped),
    ({"status": "DOING", "name": "_"}, lambda job: job.status == "DOING" and not job.stopped),
    ({"stopped": "1"}, lambda job: job.stopped is True),
    ({"stopped": "0"}, lambda _: True),
    ({"name": "_"}, lambda _: True),
    ({}, lambda _: True),
]


@pytest.mark.parametrize(("query", "keep"), HIDDEN, ids=lambda value: str(value) if isinstance(value, dict) else "")
async def test_lists_by_status_can_hide_stopped_jobs(
    query: dict[str, str], keep: Callable[[records.Job], bool]
) -> None:
    world = hiding_world()
    truth = list(world.truth().jobs(SOURCE))
    async with caller_on(world) as caller:
        rows = await caller.everything("ListMmsJobs", JOBS, **query)
    assert {job.status for job in truth if job.stopped} == {"INIT", "DOING"}
    assert _ids(rows) == [job.id for job in truth if keep(job)]


@pytest.mark.parametrize("query", [{}, {"srcDbName": "_"}], ids=["by-status", "by-name"])
async def test_lists_by_status_can_hide_stopped_tasks(query: dict[str, str]) -> None:
    world = hiding_world()
    truth = list(world.truth().tasks(SOURCE))
    assert any(task.stopped for task in truth)
    async with caller_on(world) as caller:
        assert _ids(await caller.everything("ListMmsTasks", TASKS, **query)) == [task.id for task in truth]
        for status in statuses.TaskStatus:
            rows = await caller.everything("ListMmsTasks", TASKS, status=status, **query)
            assert _ids(rows) == [task.id for task in truth if task.status == status and not task.stopped], status


def hiding_world() -> World:
    """Return a world that hides stopped jobs: one was INIT, one DOING."""
    options = WorldOptions(sources=1, special_sources=False, incidents=False, stopped_share=0.0, hides_stopped=True)
    clock = ManualClock()
    world = World(options, clock=clock)
    for status in ("INIT", "DOING"):
        while not (found := [job for job in world.truth().jobs(SOURCE) if job.status == status and not job.stopped]):
            clock.advance(30)
        apply_event(world, events.StopJob(source_id=SOURCE, job_id=found[0].id))
    return world


@asynccontextmanager
async def caller_on(world: World) -> AsyncIterator[Caller]:
    async with Simulator(world) as simulator, aiohttp.ClientSession() as session:
        yield Caller(session, simulator.url)


async def test_jobs_by_table(caller: Caller, world: World) -> None:
    job = next(job for job in world.truth().jobs(SOURCE) if job.config and job.config.tables)
    table = job.config.tables[0] if job.config and job.config.tables else ""
    for name in ("srcTableName", "dstTableName"):
        assert job.id in _ids(await caller.everything("ListMmsJobs", JOBS, **{name: table}))


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_jobs_sorted_by_status(caller: Caller, order: str) -> None:
    rows = await caller.everything("ListMmsJobs", JOBS, **{"sorter.status": order})
    statuses = [row["status"] for row in rows]
    assert statuses == sorted(statuses, reverse=order == "desc")
    assert len(set(statuses)) > 1


async def test_tables_are_filtered(caller: Caller, world: World) -> None:
    truth = list(world.truth().tables(SOURCE))
    first = truth[0]
    times = sorted(table.last_ddl_time or "" for table in truth)
    queries: list[tuple[dict[str, str], set[int]]] = [
        ({"status": '["FAILED","DOING"]'}, {table.id for table in truth if table.status in {"FAILED", "DOING"}}),
        ({"dbId": str(first.db_id)}, {table.id for table in truth if table.db_id == first.db_id}),
        ({"dbName": first.db_name or ""}, {table.id for table in truth if table.db_name == first.db_name}),
        ({"name": "orders"}, {table.id for table in truth if "orders" in (table.name or "")}),
        ({"hasPartitions": "false"}, {table.id for table in truth if not table.has_partitions}),
        ({"lastDdlTimeStart": times[5]}, {table.id for table in truth if (table.last_ddl_time or "") >= times[5]}),
        ({"lastDdlTimeEnd": times[5]}, {table.id for table in truth if (table.last_ddl_time or "") <= times[5]}),
        ({"type": "VIEW"}, set()),
    ]
    for query, expected in queries:
        assert set(_ids(await caller.everything("ListMmsTables", TABLES, **query))) == expected, query
    assert all(expected for _, expected in queries[:-1])


async def test_tables_sorted_and_by_name_only(caller: Caller) -> None:
    rows = await caller.everything("ListMmsTables", TABLES, **{"sorter.size": "desc"})
    assert [row["size"] for row in rows] == sorted((row["size"] for row in rows), reverse=True)
    names = (await caller.get("ListMmsTables", TABLES, onlyName="true")).rows
    assert all(set(row) == {"id", "name"} for row in names)


async def test_partitions_are_filtered(caller: Caller, world: World) -> None:
    changed = next(row.id for row in world.truth().partitions(SOURCE) if row.status == "DONE")
    apply_event(world, events.Change(source_id=SOURCE, partition_ids=(changed,)))
    truth = list(world.truth().partitions(SOURCE))
    first = truth[0]
    queries: list[tuple[dict[str, str], set[int]]] = [
        ({"status": '["DOING"]'}, {row.id for row in truth if row.status == "DOING"}),
        ({"status": '["INIT","DONE"]'}, {row.id for row in truth if row.status in {"INIT", "DONE"}}),
        ({"tableId": str(first.table_id)}, {row.id for row in truth if row.table_id == first.table_id}),
        ({"tableId": "424242"}, set()),
        ({"tableName": "orders"}, {row.id for row in truth if "orders" in (row.table_name or "")}),
        ({"dbName": "logs"}, {row.id for row in truth if "logs" in (row.db_name or "")}),
        ({"value": "ds=20240102%"}, {row.id for row in truth if "ds=20240102" in (row.value or "")}),
        (
            {"value": "region=eu", "status": '["DONE"]'},
            {row.id for row in truth if "region=eu" in (row.value or "") and row.status == "DONE"},
        ),
        ({"updated": "true"}, {changed}),
        ({"updated": "false"}, {row.id for row in truth} - {changed}),
    ]
    for query, expected in queries:
        assert set(_ids(await caller.everything("ListMmsPartitions", PARTITIONS, **query))) == expected, query


async def test_partitions_and_tasks_are_sorted(caller: Caller) -> None:
    partitions = await caller.everything("ListMmsPartitions", PARTITIONS, **{"sorter.numRows": "asc"})
    tasks = await caller.everything("ListMmsTasks", TASKS, **{"sorter.startTime": "desc"})
    for values in ([row["numRows"] for row in partitions], [row.get("startTime", "") for row in tasks][::-1]):
        assert values == sorted(values)
        assert len(set(values)) > 1


async def test_the_value_of_a_partition_ends_in_a_newline_as_in_the_vendors_example(caller: Caller) -> None:
    rows = (await caller.get("ListMmsPartitions", PARTITIONS)).rows
    assert all(row["value"] == row["dstValue"] + "\n" for row in rows)


async def test_tasks_are_filtered(caller: Caller) -> None:
    rows = await caller.everything("ListMmsTasks", TASKS)
    for query, name in (({"status": "DONE"}, "status"), ({"jobId": rows[0]["jobId"]}, "jobId")):
        value = next(iter(query.values()))
        found = await caller.everything("ListMmsTasks", TASKS, **query)
        assert found == [row for row in rows if row[name] == value]
        assert found
    by_table = await caller.everything("ListMmsTasks", TASKS, srcTableName=rows[0]["srcTableName"])
    assert rows[0] in by_table
    assert await caller.everything("ListMmsTasks", TASKS, partition="no such value") == []


async def test_task_counts_by_status_are_always_right(caller: Caller, world: World, clock: ManualClock) -> None:
    apply_event(world, events.StopJob(source_id=SOURCE, job_id=next(world.truth().jobs(SOURCE)).id))
    for _ in range(12):
        true = Counter(task.status for task in world.truth().tasks(SOURCE))
        for status in statuses.TaskStatus:
            data = (await caller.get("ListMmsTasks", TASKS, status=status, pageSize="1")).data
            assert data["total"] == true[status]
            assert [row["status"] for row in data["objectList"]] == [status] * min(1, true[status])
        clock.advance(world.options.job_seconds / 7)


async def test_partitions_of_a_large_share_are_paged_by_count() -> None:
    """A late page of many failed partitions opens only the tables on it."""
    world = World(WorldOptions(sources=1, special_sources=False, tables=200, partitions=100), clock=ManualClock())
    apply_event(world, events.Fail(source_id=SOURCE, share=1.0))
    site = world.site(SOURCE)
    failed = site.inventory.totals(world.at(site).moment)[3].partitions_failed
    assert failed > 5000
    assert failed == sum(row.status == "FAILED" for row in world.truth().partitions(SOURCE))
