"""After every refresh, the served values equal the simulated MMS, while its world changes."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS as HOUR
from exporter.mms.models.records import Database, DataSource, Job, Partition, Table
from exporter.mms.models.scope import UnitSet, covers_any
from exporter.mms.models.statuses import DataSourceStatus, ScanStatus
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.oracle import Oracle
from exporter.simulator.world import events
from tests.collect.failed_tasks import failed_tasks
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import harness_on

OPTIONS = WorldOptions(sources=4, databases=1, tables=3, partitions=3, job_seconds=240.0, failure_rate=0.35)
WATCHED_SOURCE = 2000001
WATCH = {"tables": [{"source_id": WATCHED_SOURCE, "table_ids": [1]}]}
READS = {
    *("ListMmsDataSources", "ListMmsJobs", "ListMmsDbs", "ListMmsTables", "ListMmsPartitions"),
    *("ListMmsTasks", "ListMmsTaskLogs", "ListMmsTimers", "ListMmsTimerLogs", "GetMmsFetchMetadataJob"),
    *("GetMmsTable", "GetMmsPartition"),
}
HOSTILE_NAMES = ('quote " and \\ backslash', "new\nline and {brace}", "漢字", "%s %d")
SCANS = 0.1
"""Probability that a metadata scan begins between two refreshes."""
TABLES = ("DOING", "DONE", "PART_DONE", "FAILED")
UNITS = ("DOING", "DONE", "FAILED")
DATABASE_FIELDS = {
    "mms_database_metadata_tables": "tables",
    "mms_database_metadata_partitions": "partitions",
    "mms_database_size_bytes": "size",
    "mms_database_rows": "num_rows",
}


@pytest.mark.timeout(3000)  # 1,000 refreshes on a machine under load
@pytest.mark.parametrize(
    ("refreshes", "finished", "fails", "hides_stopped"),
    [
        (60, 4, 0.6, False),
        (60, 120, 0.4, True),
        pytest.param(60, 120, 0.4, False, marks=pytest.mark.scale),
        pytest.param(1000, 4, 0.03, False, marks=pytest.mark.scale),
    ],
)
async def test_served_values_equal_the_simulated_world(
    refreshes: int, finished: int, fails: float, *, hides_stopped: bool
) -> None:
    """Run with finished jobs that fit one page, and with too many; lists by status have stopped jobs, or hide them.

    `fails` is the probability that a finished or running unit fails between two refreshes.
    """
    clock, steps, scans = ManualClock(), random.Random(1), random.Random(2)
    statuses_seen: Counter[str] = Counter()
    options = replace(OPTIONS, finished_jobs_per_source=finished, stopped_share=0.5, hides_stopped=hides_stopped)
    world = World(options, clock=clock)
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        jobs, failures = {"linger": "1m", "idle_interval": "10m"}, {"max_per_source": 100_000}
        for source_id in world.source_ids():
            name = HOSTILE_NAMES[source_id % len(HOSTILE_NAMES)]
            apply_event(world, events.SetText(source_id=source_id, field="name", text=name, database_id=1))
        config = config_on(simulator.url, jobs=jobs, failures=failures, watch=WATCH)
        async with harness_on(config, clock) as harness:
            unfinished_before: set[tuple[int, int]] = set()
            databases: dict[int, tuple[DataSource, list[Database], float]] = {}
            """By source: its row, and the databases when the row last changed or the list expired."""
            tasks = FailedTasks(clock)
            named = {kind: NamedFailures(kind, clock) for kind in ("table", "partition")}
            for _ in range(refreshes):
                served = await harness.refresh()
                truth = simulator.world.truth()
                rows = truth.data_sources()
                jobs_of = {source_id: list(truth.jobs(source_id)) for source_id in rows}
                assert set(served.by("mms_datasource_info", "source_id")) == {str(source_id) for source_id in rows}
                for source_id, row in rows.items():
                    assert_row_equals(served, row)
                    if databases.get(source_id, (None,))[0] != row or clock() - databases[source_id][2] >= HOUR:
                        databases[source_id] = row, [*truth.databases(source_id)], clock()
                    assert_databases_equal(served, source_id, databases[source_id][1])
                    assert_scan_equals(served, row, truth)
                    tasks.assert_equal(served, row, truth)
                    named["table"].assert_equal(served, row, row.tables_failed_num, truth.tables(source_id))
                    named["partition"].assert_equal(served, row, row.partitions_failed_num, truth.partitions(source_id))
                    unresolved = jobs_with_failures(served, source_id, jobs_of[source_id], truth)
                    assert_jobs_equal(served, source_id, jobs_of[source_id], unfinished_before, unresolved)
                assert_watched_equals(served, truth)
                everything = [(key, job) for key, listed in jobs_of.items() for job in listed]
                unfinished_before = {(key, job.id) for key, job in everything if job.status in ("INIT", "DOING")}
                statuses_seen.update(job.status or "" for _, job in everything)
                clock.advance(steps.uniform(1, 30))
                if steps.random() < fails:
                    apply_event(simulator.world, events.Fail(source_id=steps.choice(list(rows)), share=0.1))
                # Two scans that end within one second have one lastUpdateTime: start none while one runs.
                idle = [key for key, row in rows.items() if row.scan_status != ScanStatus.DOING]
                if scans.random() < SCANS and idle:
                    scan = events.ScanMetadata(source_id=scans.choice(idle), seconds=30.0, share=0.1)
                    apply_event(simulator.world, scan)
        assert {operation for operation, _ in simulator.calls} <= READS, "serving never writes"
    assert {"INIT", "DOING", "DONE", "FAILED"} <= set(statuses_seen), "the run includes every status"
    assert len(+tasks.reasons_seen) > 1, "the run includes reasons"
    assert min(each.most for each in named.values()) > 3, "the run includes failures"


class FailedTasks:
    """Checks the failed tasks by phase and by reason."""

    def __init__(self, clock: ManualClock) -> None:
        self.reasons_seen: Counter[str] = Counter()
        self._clock = clock
        self._known: dict[int, tuple[tuple[int | None, ...], tuple[dict[str, int], dict[str, int]], float]] = {}
        """By source: its failures, and the failed tasks when these last changed or the list expired."""

    def assert_equal(self, served: Exposition, row: DataSource, truth: Oracle) -> None:
        """Check one source."""
        failures = row.tables_failed_num, row.partitions_failed_num
        known = self._known.get(row.id)
        if known is None or known[0] != failures or self._clock() - known[2] >= HOUR:
            self._known[row.id] = failures, failed_tasks(truth, row.id), self._clock()
        by_phase, by_reason = self._known[row.id][1] if any(failures) else ({}, {})
        assert served.by("mms_failed_tasks", "phase", source_id=str(row.id)) == by_phase
        assert served.by("mms_failed_task_reasons", "reason", source_id=str(row.id)) == by_reason
        self.reasons_seen.update(by_reason)


class NamedFailures:
    """Checks the named failures of one kind."""

    def __init__(self, kind: str, clock: ManualClock) -> None:
        self.kind = kind
        self.most = 0
        self._clock = clock
        self._known: dict[int, tuple[int | None, set[tuple[str, ...]], float]] = {}
        """By source: count, names and time when the count last changed or the list expired."""

    def assert_equal(
        self, served: Exposition, row: DataSource, count: int | None, objects: Iterable[Table | Partition]
    ) -> None:
        """Check a source: with an unchanged count, names stay for an hour."""
        before, _, at = self._known.get(row.id, (None, None, 0.0))
        if before != count or self._clock() - at >= HOUR:
            self._known[row.id] = count, {names(each) for each in objects if each.status == "FAILED"}, self._clock()
        expected = self._known[row.id][1]
        labels = ("src_db", "table", *(("partition",) if self.kind == "partition" else ()))
        shown = (dict(each) for each in served.having(f"mms_failed_{self.kind}_info", source_id=str(row.id)))
        assert {tuple(each[label] for label in labels) for each in shown} == expected
        assert served.value("mms_failed_omitted", source_id=str(row.id), kind=self.kind) == 0
        self.most = max(self.most, len(expected))


def names(each: Table | Partition) -> tuple[str, ...]:
    """Return the names of a table or a partition."""
    found = (each.db_name, each.name) if isinstance(each, Table) else (each.db_name, each.table_name, each.value)
    return tuple(name or "" for name in found)


def jobs_with_failures(served: Exposition, source_id: int, jobs: list[Job], truth: Oracle) -> set[int]:
    """Return the failed jobs with something FAILED in their scope, and check that none is shown as resolved."""
    tables = ((table.db_name, table.name, None) for table in truth.tables(source_id) if table.status == "FAILED")
    partitions = (
        (each.db_name, each.table_name, each.id) for each in truth.partitions(source_id) if each.status == "FAILED"
    )
    failed = UnitSet.of((*tables, *partitions))
    unresolved = {job.id for job in jobs if job.status == "FAILED" and covers_any(job, failed)}
    shown = served.by("mms_job_unresolved", "job_id", source_id=str(source_id))
    assert shown.keys() <= {str(job.id) for job in jobs if job.status == "FAILED"}
    assert [key for key in unresolved if shown.get(str(key)) == 0] == []
    return unresolved


def assert_watched_equals(served: Exposition, truth: Oracle) -> None:
    table = next(each for each in truth.tables(WATCHED_SOURCE) if each.id == 1)
    status = served.by("mms_table_status", "status", source_id=str(WATCHED_SOURCE), table_id="1")
    assert [each for each, value in status.items() if value] == [table.status]
    assert served.by("mms_table_partitions", "status", table_id="1") == {
        "DOING": table.partitions_doing,
        "DONE": table.partitions_done,
        "FAILED": table.partitions_failed,
    }


def assert_row_equals(served: Exposition, row: DataSource) -> None:
    source = {"source_id": str(row.id)}
    assert served.by("mms_tables", "status", **source) == {
        "DOING": row.tables_doing_num,
        "DONE": row.tables_done_num,
        "PART_DONE": row.tables_part_done_num,
        "FAILED": row.tables_failed_num,
    }
    assert served.by("mms_partitions", "status", **source) == {
        "DOING": row.partitions_doing_num,
        "DONE": row.partitions_done_num,
        "FAILED": row.partitions_failed_num,
    }
    assert served.value("mms_metadata_databases", **source) == row.db_num
    assert served.value("mms_metadata_tables", **source) == row.table_num
    assert served.value("mms_metadata_partitions", **source) == row.partition_num
    assert served.value("mms_datasource_agent_online", **source) == row.agent_is_online
    assert served.by("mms_datasource_status", "status", **source) == {
        status: float(status == row.status) for status in (*DataSourceStatus, "UNKNOWN")
    }


def assert_scan_equals(served: Exposition, row: DataSource, truth: Oracle) -> None:
    source, scan = {"source_id": str(row.id)}, truth.scan(row.id)
    progress = [] if scan is None or scan.ratio is None else [scan.ratio]
    assert [*served.by("mms_metadata_scan_progress_ratio", "source_id", **source).values()] == progress
    if row.scan_status != ScanStatus.DOING:
        outdated = sum(bool(each.updated) for each in truth.partitions(row.id))
        assert served.value("mms_partitions_outdated", **source) == outdated


def assert_databases_equal(served: Exposition, source_id: int, databases: Iterable[Database]) -> None:
    rows = {row.name or "": row for row in databases}
    source = {"source_id": str(source_id)}
    tables = {status: served.by("mms_database_tables", "src_db", **source, status=status) for status in TABLES}
    partitions = {status: served.by("mms_database_partitions", "src_db", **source, status=status) for status in UNITS}
    for status in TABLES:
        counts = {name: getattr(row, f"tables_{status.lower()}") for name, row in rows.items()}
        assert tables[status] == counts, status
    for status in UNITS:
        counts = {name: getattr(row, f"partitions_{status.lower()}") for name, row in rows.items()}
        assert partitions[status] == counts, status
    for family, field in DATABASE_FIELDS.items():
        expected = {name: getattr(row, field) for name, row in rows.items()}
        assert served.by(family, "src_db", **source) == expected, family
    for family, shares in (("mms_tables", tables), ("mms_partitions", partitions)):
        whole = served.by(family, "status", **source)
        assert {status: sum(share.values()) for status, share in shares.items()} == whole, "they sum to the source"


def assert_jobs_equal(
    served: Exposition,
    source_id: int,
    jobs: list[Job],
    unfinished_before: set[tuple[int, int]],
    unresolved: set[int],
) -> None:
    source = {"source_id": str(source_id)}
    counts = Counter[str | None](job.status for job in jobs)
    assert served.by("mms_jobs", "status", **source) == {
        **{status: counts[status] for status in ("INIT", "DOING", "DONE", "FAILED")},
    }
    unfinished = [job for job in jobs if job.status in ("INIT", "DOING")]
    assert served.value("mms_jobs_stopped", **source) == sum(1 for job in unfinished if job.stopped)
    assert served.value("mms_job_series_omitted", **source) == 0
    shown = served.by("mms_job_tasks", "job_id", **source)
    done = served.by("mms_job_tasks_done", "job_id", **source)
    status_of = {
        dict(labels)["job_id"]: dict(labels)["status"]
        for labels, value in served.having("mms_job_status", **source).items()
        if value == 1
    }
    just_finished = [job for job in jobs if job.status == "DONE" and (source_id, job.id) in unfinished_before]
    for job in jobs:
        # A refresh looks up one finished job per source, so others may appear later.
        key = str(job.id)
        if job in unfinished or job.id in unresolved or just_finished == [job] or key in shown:
            assert (shown[key], done[key], status_of[key]) == (job.task_num, job.task_done, job.status)
    by_id = {str(job.id): job for job in jobs}
    for key in shown:
        assert status_of[key] == by_id[key].status, "no series has an outdated status"
