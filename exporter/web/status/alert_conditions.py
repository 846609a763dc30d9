"""Conditions of the alerts of a data source, counted: 0, False or None if there is none."""

from collections.abc import Callable
from typing import Final

from exporter.collect.snapshot import JobStats, SourceSnapshot
from exporter.mms.models.records import DataSource
from exporter.mms.models.schedules import is_late
from exporter.mms.models.statuses import STOPPED_STATUSES, UNFINISHED_JOB_STATUSES, DataSourceStatus, JobStatus
from exporter.web.status.formatting import number, with_noun
from exporter.web.status.progress_bars import left_of

METADATA_AGE_SECONDS: Final = 2 * 86400
OVERDUE_SECONDS: Final = 900
"""As in deploy/prometheus/rules/mms-thresholds.yaml, like METADATA_AGE_SECONDS."""


def of_row(count: Callable[[DataSource], int | bool | None]) -> Callable[[SourceSnapshot, float], int | bool | None]:
    """Return a condition of the row."""
    # A stale data source has no row.
    return lambda source, _: count(source.stats.row) if source.stats is not None else None


def has_status(status: DataSourceStatus) -> Callable[[SourceSnapshot, float], int | bool | None]:
    """Return the condition of a status."""
    return of_row(lambda row: row.status == status)


def is_stopped(source: SourceSnapshot) -> bool:
    """Return whether somebody stopped the data source."""
    return source.stats is not None and source.stats.row.status in STOPPED_STATUSES


def unfinished_jobs(source: SourceSnapshot) -> int:
    """Return the number of unfinished jobs."""
    counts = source.jobs.counts if source.jobs is not None else {}
    return sum(counts.get(status, 0) for status in UNFINISHED_JOB_STATUSES)


def units_left(source: SourceSnapshot) -> int:
    """Return the number of tables and partitions left."""
    return left_of(source.stats.row) if source.stats is not None else 0


def work_left(source: SourceSnapshot) -> int:
    """Return how much work is left."""
    # Jobs count only without tables and partitions: they contain them.
    return units_left(source) or unfinished_jobs(source)


def work_detail(source: SourceSnapshot) -> str:
    """Return the text for the work that is left."""
    left = units_left(source)
    if not left:
        return with_noun(unfinished_jobs(source), "unfinished job")
    return "1 table or partition left" if left == 1 else f"{number(left)} tables and partitions left"


def waiting_for_agent(source: SourceSnapshot, _: float) -> int:
    """Return the work that waits for an agent."""
    is_offline = source.stats is not None and source.stats.row.agent_is_online is False
    return work_left(source) if is_offline and not is_stopped(source) else 0


def waiting_for_start(source: SourceSnapshot, _: float) -> int:
    """Return the work of a stopped data source."""
    return work_left(source) if is_stopped(source) else 0


def failed_units(source: SourceSnapshot, _: float = 0) -> int:
    """Return the number of FAILED tables and partitions."""
    row = source.stats.row if source.stats is not None else None
    return (row.tables_failed_num or 0) + (row.partitions_failed_num or 0) if row is not None else 0


def has_no_failures(source: SourceSnapshot) -> bool:
    """Return whether it is known that nothing is FAILED."""
    # Jobs whose objects were migrated by another job stay FAILED.
    row = source.stats.row if source.stats is not None else None
    return row is not None and row.tables_failed_num == row.partitions_failed_num == 0


def failed_jobs(source: SourceSnapshot, _: float) -> int:
    """Return the number of jobs that failed recently."""
    return source.jobs_failed_recently if source.jobs is not None and not has_no_failures(source) else 0


def resolved_jobs(source: SourceSnapshot) -> int | None:
    """Return the number of failed jobs without failures in their scope."""
    jobs = source.jobs
    failed = jobs.counts.get(JobStatus.FAILED) if jobs is not None else None
    if jobs is None or failed is None:
        return None
    return failed if has_no_failures(source) else min(failed, jobs.resolved)


def is_overdue(source: SourceSnapshot, job: JobStats, now: float) -> bool:
    """Return whether a job is unfinished OVERDUE_SECONDS after its ETA."""
    is_active = job.row.status in UNFINISHED_JOB_STATUSES and not job.row.stopped and not is_stopped(source)
    return is_active and job.eta_at is not None and now - job.eta_at > OVERDUE_SECONDS


def overdue_jobs(source: SourceSnapshot, now: float) -> int:
    """Return the number of overdue jobs."""
    return sum(is_overdue(source, job, now) for job in source.jobs.jobs) if source.jobs is not None else 0


def late_schedules(source: SourceSnapshot, now: float) -> int:
    """Return the number of late timers."""
    status = source.stats.row.status if source.stats is not None else None
    return sum(is_late(each.due_at, status, now) for each in source.timers.timers) if source.timers is not None else 0


def stopped_jobs(source: SourceSnapshot, _: float) -> int | None:
    """Return the number of stopped jobs."""
    return source.jobs.stopped if source.jobs is not None and not is_stopped(source) else None


def has_old_metadata(source: SourceSnapshot, now: float) -> bool:
    """Return whether work waits for a metadata scan."""
    synced_at = source.stats.synced_at if source.stats is not None else None
    is_old = synced_at is not None and now - synced_at > METADATA_AGE_SECONDS
    return is_old and not is_stopped(source) and work_left(source) > 0
