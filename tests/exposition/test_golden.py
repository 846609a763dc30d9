"""The vendor's example responses, served over HTTP unchanged, give the golden exposition."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from exporter.collect.snapshot import AccountSnapshot, JobTasks, Snapshot, SourceName, SourceSnapshot, TasksStats
from exporter.exposition.rendering import Renderer
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import ManualClock
from tests.conftest import config_on
from tests.exposition_parser import read
from tests.harness import Harness, harness_on

SAMPLES = Path(__file__).parent.parent / "samples"
GOLDEN = Path(__file__).parent.parent / "golden"


PATHS = {
    "/api/v1/mms/datasources": "ListMmsDataSources",
    "/api/v1/mms/datasources/2000015/jobs": "ListMmsJobs",
    "/api/v1/mms/datasources/2000015/dbs": "ListMmsDbs",
    "/api/v1/mms/datasources/2000015/tasks": "ListMmsTasks",
    "/api/v1/mms/datasources/2000015/tasks/1800001/logs": "ListMmsTaskLogs",
    "/api/v1/mms/datasources/2000015/timers": "ListMmsTimers",
    "/api/v1/mms/datasources/2000015/timers/18/logs": "ListMmsTimerLogs",
    "/api/v1/mms/datasources/2000015/timers/19/logs": "ListMmsTimerLogs",
    "/api/v1/mms/datasources/2000015/tables/22": "GetMmsTable",
    "/api/v1/mms/datasources/2000015/partitions/2323": "GetMmsPartition",
}
LISTS = {
    "/api/v1/mms/datasources/2000015/tables": "GetMmsTable",
    "/api/v1/mms/datasources/2000015/partitions": "GetMmsPartition",
}
"""Lists without a vendor example use the rows of another operation."""
WATCH = {
    "tables": [{"source_id": 2000015, "table_ids": [22]}],
    "partitions": [{"source": "demo", "partition_ids": [2323]}],
}


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    """Provide an account on an MMS that answers with the vendor's examples."""

    async def answer(request: web.Request) -> web.Response:
        if request.path in LISTS:
            row = {**json.loads(example(LISTS[request.path]))["data"], "status": "FAILED", "updated": True}
            return web.json_response({"data": {"total": 3, "objectList": [row]}})
        return web.Response(body=example(PATHS[request.path]), content_type="application/json")

    app = web.Application()
    for path in (*PATHS, *LISTS):
        app.router.add_get(path, answer)
    async with TestServer(app) as server:
        config = config_on(str(server.make_url("")).rstrip("/"), {"time_zone": "Asia/Shanghai"}, watch=WATCH)
        async with harness_on(config, ManualClock(1_750_000_000)) as running:
            yield running


def example(operation: str) -> bytes:
    """Return the vendor's example response, or the one written from the vendor's SDK."""
    (sample,) = (SAMPLES / operation).glob("[lv]*.json")
    if operation == "ListMmsTasks":  # the task is about the table of the failed partition
        return sample.read_bytes().replace(b'"test_db_1"', b'"d1"').replace(b'"test_table_1\\n"', b'"t1"')
    return sample.read_bytes()


async def test_the_examples_give_the_golden_exposition(harness: Harness) -> None:
    await harness.refresher.refresh()
    page = Renderer().render(Snapshot((harness.refresher.snapshot(),))).plain
    assert_golden("vendor_examples", page)


def assert_golden(name: str, page: bytes) -> None:
    """Check that a page equals the golden file `name`."""
    golden = GOLDEN / f"{name}.prom"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_bytes(page)
    assert page.decode() == golden.read_text(encoding="utf-8")


def test_tasks_give_the_golden_exposition() -> None:
    """The vendor has no example of tasks."""
    name = SourceName("test", 2000015, "demo")
    jobs = (
        JobTasks(18, "migrate_db_1", {"DATA_DOING": 2, "DONE": 7, "UNKNOWN": 1}, retried=3),
        JobTasks(19, None, {"DONE": 12_000}, retried=None),
    )
    tasks = TasksStats(name, {"INIT": 0, "VERIFICATION_FAILED": 4, "DONE": 90_000}, jobs)
    source = SourceSnapshot(name, None, None, refreshed=True, last_success_at=None, tasks=tasks)
    page = Renderer().render(Snapshot((AccountSnapshot("test", up=True, sources=(source,)),))).plain
    assert_golden("tasks", page)


async def test_the_exported_values_are_those_of_the_examples(harness: Harness) -> None:
    served = await harness.refresh()
    source = {"account": "test", "source_id": "2000015", "source": "demo"}
    assert served.value("mms_tables", **source, status="DONE") == 2323
    assert served.value("mms_partitions", **source, status="FAILED") == 2323
    assert served.value("mms_datasource_agent_online", **source) == 1
    assert served.value("mms_metadata_partitions", **source) == 10_000_000
    assert served.value("mms_metadata_sync_timestamp_seconds", **source) == 1734421457, "15:44:17 in Shanghai"
    assert served.value("mms_table_size_bytes", table_id="22", src_db="mms_test", table="test", **source) == 23232
    assert served.value("mms_table_last_ddl_timestamp_seconds", table_id="22") == 1734421482, "15:44:42 in Shanghai"
    assert served.by("mms_table_partitions", "status", table_id="22") == {"DOING": 20, "DONE": 80, "FAILED": 0}
    assert served.value("mms_partition_rows", partition_id="2323", partition="p1=1/p2=abc", **source) == 2323
    assert served.by("mms_failed_omitted", "kind", **source) == {"table": 2, "partition": 2}
    assert not [value for labels in served.samples.values() for label in labels for _, value in label if "\n" in value]


async def test_lists_with_fewer_rows_than_their_total_are_counted(harness: Harness) -> None:
    served = await harness.refresh()
    lost = served.by("mms_exporter_unexpected_values_total", "operation", field="total")
    assert lost == {
        "ListMmsDataSources": 1,
        "ListMmsJobs": 3,
        "ListMmsTables": 1,
        "ListMmsPartitions": 1,
    }, "the lists of sources, of jobs in three states, and of what failed"
    assert served.value("mms_jobs", status="DONE") == 100
    assert served.value("mms_up") == 1


async def test_both_formats_have_the_same_series_and_pass_the_strict_parser(harness: Harness) -> None:
    await harness.refresher.refresh()
    page = Renderer().render(Snapshot((harness.refresher.snapshot(),)))
    own = Telemetry()
    parsed: dict[str, Any] = {
        "text": text_families((page.plain + own.page("text")).decode()),
        "openmetrics": openmetrics_families(  # type: ignore[no-untyped-call]  # the library's lack
            (page.plain + own.page("openmetrics")).decode()
        ),
    }
    series = {
        text_format: {(sample.name, *sorted(sample.labels.items())) for family in families for sample in family.samples}
        for text_format, families in parsed.items()
    }
    assert series["text"] == series["openmetrics"]
    assert len(read(page.plain).samples) > 20
