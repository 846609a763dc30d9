"""An operation that MMS does not offer disables its collector, and nothing counts as deleted."""

import pytest
from structlog.testing import capture_logs

from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import harness_on

SOURCE = 2000001
STILL = WorldOptions(sources=2, finished_jobs_per_source=120, failure_rate=0.5, incidents=False, special_sources=False)
"""Two pages of jobs for each source."""
NO_REASONS = {"reasons": {"enabled": False}}
"""Two collectors call ListMmsTasks; test_reasons.py has the other one."""
FAMILIES = {
    "jobs": ("mms_jobs", "mms_job_status"),
    "databases": ("mms_database_tables", "mms_database_series_omitted"),
    "failures": ("mms_failed_table_info",),
    "tasks": ("mms_tasks", "mms_job_tasks_by_status"),
    "watch": ("mms_table_info", "mms_partition_info"),
}
OPERATIONS = {
    "ListMmsJobs": "jobs",
    "ListMmsDbs": "databases",
    "ListMmsTables": "failures",
    "ListMmsTasks": "tasks",
    "GetMmsTable": "watch",
}


def series(served: Exposition, collector: str) -> set[str]:
    return {str(each) for family in FAMILIES[collector] for each in served.having(family)}


@pytest.mark.parametrize(
    ("operation", "code"),
    [*((operation, "InvalidAction.NotFound") for operation in OPERATIONS), ("ListMmsJobs", "InvalidVersion")],
)
async def test_an_unsupported_operation_disables_its_collector(operation: str, code: str, clock: ManualClock) -> None:
    collector = OPERATIONS[operation]
    watch = {"tables": [{"source_id": SOURCE, "table_ids": [1]}], "partitions": []}
    async with Simulator(World(STILL, clock=clock), identities=[IDENTITY]) as simulator:
        config = config_on(simulator.url, {"concurrency": 1}, watch=watch, tasks={"enabled": True}, failures=NO_REASONS)
        async with harness_on(config, clock) as harness:
            before = series(await harness.refresh(), collector)
            assert before
            simulator.faults.add(Fault(kind="error", operation=operation, status=404, code=code))
            clock.advance(30)
            calls: list[int] = []
            with capture_logs() as lines:
                for _ in range(3):
                    harness.refresher._sources.invalidate("databases", "failures")  # noqa: SLF001 - each refresh lists again
                    served = await harness.refresh()
                    calls.append(sum(count for (called, _), count in simulator.calls.items() if called == operation))
                    clock.advance(30)
            assert calls[0] == calls[1] == calls[2], "no further call"
            assert [(line["collector"], line["reasons"]) for line in lines] == [(collector, "unsupported")]
            assert series(served, collector) == before, "nothing counts as deleted"
            success = served.by("mms_refresh_success", "collector")
            assert {name for name, value in success.items() if not value} == {collector}
            assert set(served.by("mms_datasource_refresh_success", "source_id").values()) == {1}
            clock.advance(300)
            assert not series(await harness.refresh(), collector), "the values are stale"
            simulator.faults.clear()
            harness.refresher.note_reload()
            assert series(await harness.refresh(), collector)
