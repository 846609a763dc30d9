"""`jobs`: lists jobs and their progress, newest first; by default unfinished and failed ones."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from msgspec.structs import asdict
from msgspec.structs import replace as replace_fields

from exporter.clock import Clock
from exporter.config.loading import Config
from exporter.console.output.command_report import (
    LAST_RANK,
    OVERDUE,
    RESOLVED,
    SOURCE,
    SOURCE_FIELDS,
    STOPPED,
    CommandReport,
    Field,
    Found,
    TableColumn,
    account_columns,
    age,
    dotted_name,
    percent,
    record_field,
    share,
)
from exporter.console.selection.name_filters import TableSelector, matched_names
from exporter.console.selection.newest_rows import Newest, merged, newest
from exporter.console.selection.queries import Options, QueryPart, QueryTarget, query_sources
from exporter.errors import PermissionRefused
from exporter.mms.decoding import Page
from exporter.mms.listing import Listing
from exporter.mms.models.progress import job_ratio
from exporter.mms.models.records import Job, Partition, Table
from exporter.mms.models.scope import UnitSet, covers_any
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, JobStatus, PartitionStatus, TableStatus
from exporter.mms.models.times import eta_seconds
from exporter.mms.protocol import JobFilter, PartitionFilter, TableFilter

MAX_FAILURES: Final = 100
"""Failed tables, and failed partitions, of a data source that are read: a page. With more, a job may stay unclear."""


class ShownJob(Job, frozen=True, kw_only=True):
    """A job with what became of its failures."""

    resolved: bool | None = None
    """Whether nothing in the scope of a FAILED job is FAILED any more; None for other jobs, or if unknown."""


Row = Found[ShownJob]

_NO_JOBS: Final = "no matching jobs"
_NO_JOBS_OF_TABLES: Final = f"{_NO_JOBS}; jobs over a whole database may not list their tables, try `--database=NAME`"
DEFAULT_STATUSES: Final = ("INIT", "DOING", "FAILED")
FIELDS: Final[Sequence[Field[Row]]] = (
    *SOURCE_FIELDS,
    record_field("id", "ID of the job"),
    record_field("name", "name of the job"),
    record_field("type", "Database, Tables or Partitions"),
    record_field("status", f"{', '.join(JobStatus)} or a new value"),
    record_field("stopped", "whether the job is stopped"),
    record_field(
        "resolved", "whether nothing in the scope of a FAILED job is FAILED any more; null for other jobs or if unknown"
    ),
    Field("progress", "share of tasks that are done, 0 to 1", lambda row: job_ratio(row.record)),
    record_field("task_num", "number of tasks"),
    record_field("task_done", "number of tasks that are done"),
    record_field("src_db_name", "source database"),
    record_field("src_schema_name", "source schema; null if the source has no schemas"),
    record_field("dst_db_name", "destination MaxCompute project"),
    record_field("dst_schema_name", "destination schema"),
    record_field("create_time", "creation time"),
    record_field("eta", "ETA: the requested finish time, a date alone means the end of that day; often null"),
)

SCHEMA: Final[TableColumn[Row]] = TableColumn("SCHEMA", lambda row: row.record.src_schema_name or "", rank=7)
"""Shown if a job has one."""


async def jobs(config: Config, options: Options, clock: Clock) -> CommandReport[Row]:
    """Return the jobs that `options` select. Raises: ConfigError."""
    statuses = options.statuses_among(JobStatus) or DEFAULT_STATUSES

    async def read(target: QueryTarget) -> QueryPart[ShownJob]:
        # Lists are read in the order of a job's life, so a job that changes its status is seen twice, not missed.
        names = await target.table_filters(options)
        pairs = [(each, await _listed(target, status, each, options.limit)) for status in statuses for each in names]
        stopped = [(each, await _stopped(target, frozenset(statuses), each, options.limit)) for each in names]
        lists = [each for _, each in pairs]
        # A job can be in both lists, so the number of omitted jobs is an upper limit.
        is_exact = not any(each.omitted for _, each in (*pairs, *stopped))
        lists += [replace(each, is_exact=is_exact or not each.rows) for _, each in stopped]
        found = merged(lists, options.limit, _rank)
        resolved = await with_resolution(target, found.rows)
        return QueryPart(resolved, found.more("job"), matched=matched_names((*pairs, *stopped)))

    result = await query_sources(config, options, read)
    columns = _columns(
        clock.wall(),
        absolute_times=options.absolute_times,
        has_schemas=any(row.record.src_schema_name for row in result.found),
    )
    return result.report(
        FIELDS, _NO_JOBS_OF_TABLES if options.tables else _NO_JOBS, columns=[*account_columns(config), *columns]
    )


async def _listed(target: QueryTarget, status: str, names: TableSelector, limit: int) -> Newest[Job]:
    """Return jobs of one status, optionally filtered by name."""
    filters = replace_fields(_name_filter(names), status=status)
    return await newest(
        lambda page: target.client.jobs_page(target.source.id, filters, page),
        partial(_fits, {status}, names),
        limit,
        is_loose=not names.is_any,
    )


async def _stopped(target: QueryTarget, statuses: Collection[str], names: TableSelector, limit: int) -> Newest[Job]:
    """Return stopped jobs of some statuses, which lists by status may omit."""
    filters = replace_fields(_name_filter(names), stopped=1)

    async def read(number: int) -> Page[Job]:
        return only_stopped(await target.client.jobs_page(target.source.id, filters, number))

    return await newest(read, partial(_fits, statuses, names), limit, is_loose=True)


def only_stopped(page: Page[Job]) -> Page[Job]:
    """Return the stopped jobs of a page, as the last page if the filter was ignored."""
    stopped = tuple(job for job in page.rows if job.stopped)
    return page if len(stopped) == len(page.rows) else Page(stopped, len(stopped))


def _name_filter(names: TableSelector) -> JobFilter:
    return JobFilter(src_db_name=names.database_pattern, src_table_name=names.table_pattern)


def _fits(statuses: Collection[str], names: TableSelector, job: Job) -> bool:
    # A job over a database or over partitions does not list its tables: there MMS's filter decides, if it has one.
    named = job.config.tables if job.config else None
    is_left_to_mms = not named and names.table_pattern is not None
    return (
        (job.status is None or job.status in statuses)
        and names.has_database(job.src_db_name)
        and (is_left_to_mms or names.has_table(named or ()))
    )


def _rank(job: Job) -> tuple[bool, int]:
    # Unfinished jobs come first if there are more than the limit.
    return (job.status or "").upper() in UNFINISHED_JOB_STATUSES, job.id


def _columns(now: float, *, absolute_times: bool, has_schemas: bool) -> list[TableColumn[Row]]:
    shown_now = None if absolute_times else now
    return [
        SOURCE,
        TableColumn("ID", lambda row: str(row.record.id), "number"),
        TableColumn("JOB", lambda row: row.record.name or "", kept_characters=10, rank=LAST_RANK),
        TableColumn("STATUS", lambda row: noted_status(row, now), "status"),
        TableColumn(
            "PROGRESS", lambda row: percent(job_ratio(row.record)), "bar", lambda row: job_ratio(row.record), rank=4
        ),
        TableColumn("TASKS", lambda row: share(row.record.task_done, row.record.task_num), "number", rank=6),
        TableColumn("KIND", lambda row: row.record.type or "", rank=9),
        TableColumn("DATABASE", lambda row: row.record.src_db_name or "", rank=5),
        *((SCHEMA,) if has_schemas else ()),
        TableColumn("TO", lambda row: dotted_name(row.record.dst_db_name, row.record.dst_schema_name), rank=8),
        TableColumn(
            "CREATED", lambda row: age(row.record.create_time, row.account.time_zone, shown_now), "number", rank=3
        ),
        TableColumn(
            "ETA", lambda row: age(row.record.eta, row.account.time_zone, shown_now, eta_seconds), "number", rank=2
        ),
    ]


def noted_status(row: Row, now: float) -> str:
    """Return the status of a job with its notes."""
    job = row.record
    noted = ((STOPPED, job.stopped), (RESOLVED, job.resolved), (OVERDUE, _is_overdue(row, now)))
    notes = [note for note, holds in noted if holds]
    return " ".join([job.status or "", *notes]).strip()


def _is_overdue(row: Row, now: float) -> bool:
    job, eta = row.record, eta_seconds(row.record.eta, row.account.time_zone)
    return eta is not None and eta < now and job.status in UNFINISHED_JOB_STATUSES and not job.stopped


async def with_resolution(target: QueryTarget, jobs: Sequence[Job]) -> list[ShownJob]:
    """Return the jobs with what became of their failures. Raises: MmsError."""
    shown = [ShownJob(**asdict(job)) for job in jobs]
    if all(job.status != JobStatus.FAILED for job in shown):
        return shown
    client, source_id = target.client, target.source.id
    try:
        # Read after the jobs: only a read after a job failed proves that nothing remains.
        tables = await client.newest_tables(source_id, TableFilter(status=(TableStatus.FAILED,)), MAX_FAILURES)
        partitions = await client.newest_partitions(
            source_id, PartitionFilter(status=(PartitionStatus.FAILED,)), MAX_FAILURES
        )
    except PermissionRefused:
        return shown
    units = UnitSet.of(_units((*tables.rows, *partitions.rows)))
    is_complete = _is_complete(tables) and _is_complete(partitions)
    return [
        replace_fields(job, resolved=False if covers_any(job, units) else True if is_complete else None)
        if job.status == JobStatus.FAILED
        else job
        for job in shown
    ]


def _units(rows: Iterable[Table | Partition]) -> Iterable[tuple[str | None, str | None, int | None]]:
    for row in rows:
        yield (row.db_name, row.name, None) if isinstance(row, Table) else (row.db_name, row.table_name, row.id)


def _is_complete(listing: Listing[Table] | Listing[Partition]) -> bool:
    return listing.is_consistent and listing.total == len(listing.rows)
