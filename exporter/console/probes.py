"""Short reads of `check`: one for each operation that a configuration uses, and facts that the vendor leaves open."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter.clock import Clock
from exporter.config.loading import Account, Config
from exporter.config.sections import duration_text
from exporter.config.watch_sections import WatchedPartitions, WatchedTables
from exporter.errors import MmsError, RequestRejected
from exporter.mms.client import Client
from exporter.mms.decoding import Page
from exporter.mms.models.records import DataSource, Job
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, TaskStatus
from exporter.mms.models.times import unix_seconds
from exporter.mms.protocol import PAGE_SIZE, JobFilter, PartitionFilter, TableFilter, TaskFilter, like

Call = Callable[[Client], Awaitable[Any]]
SourceCall = Callable[[Client, int], Awaitable[Any]]
Watched = WatchedTables | WatchedPartitions
FAILED = ("FAILED",)


class NothingToProbeError(Exception):
    """No object exists to call an operation with; the text names it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The test call of one operation."""

    operation: str
    policy: str
    """File in deploy/ram that grants the operation."""
    call: Call
    """Raises: MmsError; NothingToAskError."""


OnFirst = Callable[[str, str, SourceCall], Probe]
"""Returns the probe of an operation on the first data source."""


def probes(config: Config, sources: Sequence[DataSource] | None) -> list[Probe]:
    """Return a probe per operation; `sources` is None if the listing failed."""
    found: dict[str, Probe] = {}
    for probe in _all(config, sources):
        found.setdefault(probe.operation, probe)
    return list(found.values())


def _all(config: Config, sources: Sequence[DataSource] | None) -> Iterator[Probe]:
    def on_first(operation: str, policy: str, call: SourceCall) -> Probe:
        if not sources:
            return Probe(operation, policy, _no_object("no data source is selected"))
        return Probe(operation, policy, lambda client: call(client, sources[0].id))

    if config.jobs.enabled:
        yield on_first("ListMmsJobs", "read", lambda client, source: client.jobs_page(source, JobFilter(), 1, 1))
    if config.databases.enabled:
        yield on_first("ListMmsDbs", "databases", lambda client, source: client.databases_page(source, 1, 1))
    if config.scan.enabled:
        yield Probe("GetMmsFetchMetadataJob", "scan", lambda client: _last_scan(client, sources or ()))
    if config.failures.enabled:
        tables, partitions = TableFilter(status=FAILED), PartitionFilter(status=FAILED)
        yield on_first("ListMmsTables", "failures", lambda client, source: client.tables_page(source, tables, 1))
        yield on_first(
            "ListMmsPartitions", "failures", lambda client, source: client.partitions_page(source, partitions, 1)
        )
    if config.scan.enabled:
        changed = PartitionFilter(updated=True)
        yield on_first(
            "ListMmsPartitions", "scan", lambda client, source: client.partitions_page(source, changed, 1, 1)
        )
    watched: tuple[Watched, ...] = (*config.watch.tables, *config.watch.partitions)
    for entry in watched:
        source = next((each for each in sources or () if is_in(entry, each)), None)
        if source is not None or sources is None:
            yield from _watching(entry, source)
    yield from _task_probes(config, on_first)
    yield from _timer_probes(config, on_first)


def _task_probes(config: Config, on_first: OnFirst) -> Iterator[Probe]:
    if config.tasks.enabled:
        yield on_first("ListMmsTasks", "tasks", lambda client, source: client.tasks_page(source, TaskFilter(), 1, 1))
    if config.failures.enabled and config.failures.reasons.enabled:
        failed = TaskFilter(status=TaskStatus.DATA_FAILED)
        yield on_first("ListMmsTasks", "reasons", lambda client, source: client.tasks_page(source, failed, 1, 1))
        yield on_first("ListMmsTaskLogs", "reasons", _newest_log)


def _timer_probes(config: Config, on_first: OnFirst) -> Iterator[Probe]:
    if config.timers.enabled:
        yield on_first("ListMmsTimers", "timers", lambda client, source: client.timers_page(source, 1, 1))
        yield on_first("ListMmsTimerLogs", "timers", _timer_log)


async def _last_scan(client: Client, sources: Sequence[DataSource]) -> None:
    for source in sources:
        if source.scan_id is not None:
            await client.get_scan(source.id, source.scan_id)
            return
    raise NothingToProbeError("no data source has a metadata scan")


async def _newest_log(client: Client, source_id: int) -> None:
    try:
        page = await client.tasks_page(source_id, TaskFilter(), 1, 1)
    except MmsError:
        raise NothingToProbeError("ListMmsTasks failed, and a log belongs to a task") from None
    if not page.rows:
        raise NothingToProbeError("the data source has no tasks")
    await client.task_logs(source_id, page.rows[0].id)


async def _timer_log(client: Client, source_id: int) -> None:
    try:
        timers = (await client.timers_page(source_id, 1, 1)).rows
    except MmsError:
        raise NothingToProbeError("ListMmsTimers failed, and a log belongs to a timer") from None
    if not timers:
        raise NothingToProbeError("the data source has no timers")
    await client.timer_logs_page(source_id, timers[0].id, 1)


def is_in(entry: Watched, source: DataSource) -> bool:
    """Return whether an entry is about a data source."""
    return entry.source_id == source.id if entry.source is None else entry.source == source.name


def _watching(entry: Watched, source: DataSource | None) -> Iterator[Probe]:
    """Yield the probes of one entry of `watch` in `source`."""
    source_id, ids = source.id if source else 0, watched_ids(entry)
    noun = "Table" if isinstance(entry, WatchedTables) else "Partition"
    if not ids:
        yield Probe(f"ListMms{noun}s", "watch", lambda client: watched_rows(client, source_id, entry))

    async def get(client: Client) -> None:
        await get_watched(client, source_id, entry, ids[0] if ids else await _looked_up(client, source_id, entry))

    yield Probe(f"GetMms{noun}", "watch", get)


def watched_ids(entry: Watched) -> tuple[int, ...]:
    """Return the IDs of an entry, empty with names."""
    return entry.table_ids if isinstance(entry, WatchedTables) else entry.partition_ids


async def get_watched(client: Client, source_id: int, entry: Watched, object_id: int) -> None:
    """Read an object of an entry. Raises: MmsError."""
    if isinstance(entry, WatchedTables):
        await client.get_table(source_id, object_id)
    else:
        await client.get_partition(source_id, object_id)


async def watched_rows(client: Client, source_id: int, entry: Watched) -> Page[Any]:
    """Return a page of loose matches for an entry. Raises: MmsError."""
    db, table = like(entry.db or ""), like(entry.table or "")
    if isinstance(entry, WatchedTables):
        return await client.tables_page(source_id, TableFilter(db_name=db, name=table), 1)
    value = like(entry.partition or "")
    return await client.partitions_page(source_id, PartitionFilter(db_name=db, table_name=table, value=value), 1)


async def _looked_up(client: Client, source_id: int, entry: Watched) -> int:
    """Return the ID of any loose match; the permission is the same."""
    rows = (await watched_rows(client, source_id, entry)).rows
    if not rows:
        raise NothingToProbeError("no object has the watched names")
    return int(rows[0].id)


def _no_object(reason: str) -> Call:
    async def call(_: Client) -> None:
        raise NothingToProbeError(reason)

    return call


MAX_SOURCES: Final = 5
"""Data sources in which a fact looks for a suitable job."""

Fact = Callable[[Client, Account, Sequence[DataSource], Clock], Awaitable[str]]
"""Returns the fact in words. Raises: NothingToProbeError without a suitable object; MmsError."""


async def _page_size(client: Client, _: Account, sources: Sequence[DataSource], __: Clock) -> str:
    source = max(sources, key=lambda each: each.partition_num or 0)
    if (source.partition_num or 0) <= PAGE_SIZE:
        raise NothingToProbeError(f"no data source has more than {PAGE_SIZE} partitions")
    page = await client.partitions_page(source.id, PartitionFilter(), 1)
    return f"{len(page.rows)} rows on a page of ListMmsPartitions; requested {PAGE_SIZE}, total {page.total}"


async def _stopped_jobs(client: Client, _: Account, sources: Sequence[DataSource], __: Clock) -> str:
    for source in sources[:MAX_SOURCES]:
        stopped = await client.jobs_page(source.id, JobFilter(stopped=1), 1)
        for job in stopped.rows:
            if job.stopped and job.status in UNFINISHED_JOB_STATUSES and job.src_db_name:
                return await _stopped_job(client, source, job)
    raise NothingToProbeError(f"no stopped job in {_examined(sources)}")


def _examined(sources: Sequence[DataSource]) -> str:
    return f"the first {MAX_SOURCES} data sources" if len(sources) > MAX_SOURCES else "the data sources"


async def _stopped_job(client: Client, source: DataSource, job: Job) -> str:
    filters = JobFilter(status=job.status, src_db_name=like(job.src_db_name or ""))
    page = await client.jobs_page(source.id, filters, 1)
    if job.id not in {row.id for row in page.rows} and (page.total or 0) > len(page.rows):
        raise NothingToProbeError(f"the list of {job.status} jobs has more than a page")
    is_listed = job.id in {row.id for row in page.rows}
    return f"ListMmsJobs with status={job.status} {'includes' if is_listed else 'omits'} stopped jobs"


async def _task_status(client: Client, _: Account, sources: Sequence[DataSource], __: Clock) -> str:
    source = max(sources, key=lambda each: (each.tables_failed_num or 0) + (each.partitions_failed_num or 0))
    everything = await client.tasks_page(source.id, TaskFilter(), 1, 1)
    data_failed = await client.tasks_page(source.id, TaskFilter(status="DATA_FAILED"), 1, 1)
    try:
        failed = await client.tasks_page(source.id, TaskFilter(status="FAILED"), 1, 1)
    except RequestRejected as error:
        return f"ListMmsTasks rejects status=FAILED with status {error.status}, code {error.code}"
    totals = f"DATA_FAILED {data_failed.total}, all {everything.total}"
    return f"ListMmsTasks counts {failed.total} tasks for status=FAILED ({totals})"


async def _time_zone(client: Client, account: Account, sources: Sequence[DataSource], clock: Clock) -> str:
    for source in sources[:MAX_SOURCES]:
        page = await client.newest_jobs(source.id, JobFilter(), 1)
        times = [each for job in page.rows if (each := unix_seconds(job.create_time, account.time_zone)) is not None]
        if times:
            ahead = max(times) - clock.wall() - (client.server_ahead_seconds or 0.0)
            side = "ahead of" if ahead > 0 else "behind"
            length = duration_text(round(abs(ahead)))
            return f"the newest createTime, read as {account.time_zone.key}, is {length} {side} the clock of MMS"
    raise NothingToProbeError(f"no job in {_examined(sources)}")


FACTS: Final[Mapping[str, Fact]] = {
    "page_size": _page_size,
    "stopped_jobs": _stopped_jobs,
    "task_status": _task_status,
    "time_zone": _time_zone,
}
"""By the name of the check. For bug reports, so without names of objects."""
