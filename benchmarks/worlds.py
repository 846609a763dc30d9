"""Snapshots of a given size, and the same series in prometheus_client."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from msgspec import structs
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.collect.snapshot import (
    AccountSnapshot,
    JobsStats,
    JobStats,
    Snapshot,
    SourceName,
    SourceSnapshot,
    SourceStats,
)
from exporter.exposition.families.metric_table import METRIC_GROUPS
from exporter.exposition.rendering import parts_by_kind
from exporter.mms.models.records import DataSource, Job, JobConfig
from exporter.mms.models.statuses import DataSourceStatus, JobStatus, ScanStatus, SourceType

JOBS_PER_SOURCE = 7
FIRST_SUCCESS_AT = 1_750_000_000.0
REFRESH_SECONDS = 60.123456
"""Has a fraction, like real timestamps."""


def source(number: int, done: int = 1000) -> SourceSnapshot:
    """Return a data source with 7 running jobs."""
    name = SourceName("account", 2_000_000 + number, f"warehouse-{number:05d}")
    row = DataSource(
        id=name.source_id,
        name=name.source,
        type=SourceType.HIVE,
        region="cn-shanghai",
        dst_project="project",
        status=DataSourceStatus.STARTED,
        agent_is_online=True,
        db_num=12,
        table_num=5000,
        partition_num=10_000_000,
        tables_doing_num=10,
        tables_done_num=done,
        tables_part_done_num=3,
        tables_failed_num=2,
        partitions_doing_num=100,
        partitions_done_num=1000 * done,
        partitions_failed_num=7,
        scan_id=1000,
        scan_status=ScanStatus.DONE,
    )
    task_type = JobConfig(task_type="HIVE")
    jobs = tuple(
        JobStats(
            Job(
                id=job,
                name=f"migrate_{number}_{job}",
                type="Tables",
                src_db_name="sales",
                dst_db_name="project",
                dst_schema_name="default",
                status=JobStatus.DOING,
                stopped=False,
                task_num=100,
                task_done=done % 100,
                config=task_type,
            ),
            created_at=1_750_000_000.0,
            eta_at=None,
        )
        for job in range(JOBS_PER_SOURCE)
    )
    counts = {"INIT": 0, "DOING": JOBS_PER_SOURCE, "FAILED": 1, "DONE": done, "UNKNOWN": 0}
    stats = SourceStats(name, row, 1_740_000_000.0, 1_750_000_000.0)
    return SourceSnapshot(
        name, stats, JobsStats(name, counts, 0, jobs, 0), refreshed=True, last_success_at=FIRST_SUCCESS_AT
    )


def snapshot(sources: int) -> Snapshot:
    """Return one account with a number of data sources."""
    return Snapshot((AccountSnapshot("account", up=True, sources=tuple(map(source, range(sources)))),))


def refreshes(before: Snapshot, moves: Iterable[range]) -> list[Snapshot]:
    """Return the snapshots after consecutive refreshes.

    Each element of `moves` gives the numbers of the changed data sources. All sources are read successfully, so every
    last-success time changes.
    """
    account = before.accounts[0]
    sources, snapshots = list(account.sources), []
    for refresh, numbers in enumerate(moves, start=1):
        for number in numbers:
            sources[number] = source(number, done=1000 + refresh)
        at = FIRST_SUCCESS_AT + refresh * REFRESH_SECONDS
        sources = [structs.replace(each, last_success_at=at) for each in sources]
        snapshots.append(Snapshot((replace(account, sources=tuple(sources)),)))
    return snapshots


class StaticCollector(Collector):
    """A collector of constant families."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        return iter(self._families)


def registry(held: Snapshot) -> CollectorRegistry:
    """Return a registry with the series of a snapshot."""
    made = CollectorRegistry()
    made.register(StaticCollector(_families(held)))
    return made


def _families(held: Snapshot) -> Iterator[Metric]:
    parts = parts_by_kind(held)
    for kind in METRIC_GROUPS:
        for family in kind.families:
            metric = GaugeMetricFamily(family.name, family.help, labels=kind.labels_of(family))
            for part in parts[kind.part]:
                for of_member, member in kind.members(part):
                    for values, value in family.samples(member):
                        further = (each or "" for each in (*of_member, *values))
                        metric.add_metric([*kind.label_values(part), *further], value)
            yield metric
