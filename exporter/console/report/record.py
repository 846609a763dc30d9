"""The record of a report: JSON is this record, and the other formats are views of it. Pure.

None is a value that MMS did not return, or a part that could not be read; it is never shown as 0.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from exporter.mms.models.progress import UnitCounts
from exporter.mms.models.statuses import STOPPED_STATUSES, DataSourceStatus, JobStatus

Rows = Sequence[Mapping[str, Any]]
"""Objects with the fields of another command in JSON."""
_FAILED: Final = (DataSourceStatus.START_FAILED, DataSourceStatus.STOP_FAILED)
_WITHOUT_FAILED: Final = "Not migrated yet, without failed ones"


class UnitTotals(Struct, frozen=True):
    """Tables or partitions by status."""

    total: int | None
    done: int | None
    part_done: int | None
    """None for partitions."""
    failed: int | None
    left: int | None
    """Waiting or running."""

    @classmethod
    def of(cls, counts: UnitCounts) -> "UnitTotals":
        """Return the totals of a data source."""
        is_known = None not in (counts.total, counts.done, counts.failed)
        left = counts.left if is_known else None
        return cls(counts.total, counts.done, counts.part_done, counts.failed, left)


class ReportPart(Struct, frozen=True, kw_only=True):
    """A part of the report that is read at once."""

    read_at: str
    """When reading began: no figure of the part is older."""


class ScopePart(ReportPart, frozen=True, kw_only=True):
    """What is migrated, and how far."""

    row: Mapping[str, Any]
    """The data source, with the fields of `sources`."""
    tables: UnitTotals
    partitions: UnitTotals


class DatabasesPart(ReportPart, frozen=True, kw_only=True):
    """The databases, the largest first."""

    total: int
    size: int | None
    """Bytes of the databases whose size is known."""
    num_rows: int | None
    """Rows of the databases whose rows are known."""
    incomplete: int
    """Databases without size or rows."""
    listed: Rows


class JobsPart(ReportPart, frozen=True, kw_only=True):
    """The jobs, unfinished and failed ones first, then the newest."""

    total: int | None
    by_status: Mapping[str, int | None]
    """OTHER: new statuses, and stopped jobs if lists of MMS by status omit them."""
    stopped: int | None
    first_created: str | None
    """Creation of the oldest job."""
    examined: int
    """Jobs that were read, for the next fields."""
    verification: Mapping[str, int]
    """Jobs with verification `on`, `off`, or `default`: not in the configuration of the job."""
    unresolved: int
    """All FAILED jobs, but those that are known to be resolved."""
    retries: int
    """Jobs that `mms-exporter retry` created."""
    listed: Rows


class TasksPart(ReportPart, frozen=True, kw_only=True):
    """The tasks: the tables and partitions of jobs."""

    total: int | None
    by_status: Mapping[str, int | None]
    examined: int
    """Newest tasks that were read, for the next fields."""
    retried: int | None
    """Tasks with at least one retry."""
    retries: int | None
    last_done: str | None
    """Newest end of a DONE task, of those that were read."""
    most_retried: Rows


class FailuresPart(ReportPart, frozen=True, kw_only=True):
    """The failed tables and partitions by reason, the largest group first."""

    count: int | None
    """Failures according to the data source."""
    examined: int
    """Failures of tables whose log was looked for and could be read."""
    omitted: str
    """Failures that are in no group, as text."""
    groups: Rows


class OutdatedPart(ReportPart, frozen=True, kw_only=True):
    """Partitions whose source changed after they were migrated, as the last metadata scan saw them."""

    partitions: int | None
    """None, too, if rows lack the mark: MMS ignored the filter."""
    listed: Rows


class SchedulesPart(ReportPart, frozen=True, kw_only=True):
    """The timers of the data source, stopped ones included."""

    total: int
    listed: Rows


class Unread(Struct, frozen=True):
    """A part that could not be read, or not completely."""

    part: str
    reason: str
    detail: str
    hint: str


class SourceReport(Struct, frozen=True, kw_only=True):
    """The report of one data source."""

    account: str
    source_id: int
    source: str | None
    time_zone: str
    """Time zone of all times, except that of the whole report."""
    open_points: Sequence[str] = ()
    """What stands against a sign-off; empty if nothing does."""
    duration_seconds: float | None = None
    """From the creation of the first job to the newest end of a DONE task that was read."""
    scope: ScopePart
    databases: DatabasesPart | None = None
    jobs: JobsPart | None = None
    tasks: TasksPart | None = None
    failures: FailuresPart | None = None
    outdated: OutdatedPart | None = None
    schedules: SchedulesPart | None = None
    not_read: Sequence[Unread] = ()

    @property
    def read_in_part(self) -> Sequence[str]:
        """Return the parts of which a limit left out something."""
        jobs, tasks, schedules, failures = self.jobs, self.tasks, self.schedules, self.failures
        cuts = {
            "jobs": jobs is not None and is_less(jobs.examined, jobs.total),
            "tasks": tasks is not None and is_less(tasks.examined, tasks.total),
            "schedules": schedules is not None and is_less(len(schedules.listed), schedules.total),
            "failures": failures is not None and (bool(failures.omitted) or is_less(failures.examined, failures.count)),
        }
        return [name for name, is_cut in cuts.items() if is_cut]


class MigrationReport(Struct, frozen=True, kw_only=True):
    """The report of all selected data sources."""

    program: str
    created_at: str
    is_complete: bool
    """Whether everything was read."""
    sources: Sequence[SourceReport]
    not_read: Sequence[Unread]
    """Accounts that could not be read."""


def is_less(examined: int, total: int | None) -> bool:
    """Return whether fewer objects were read than there are, or than is known."""
    return total is None or examined < total


def count_of(number: int, noun: str) -> str:
    """Return a number with a noun in singular or plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def open_points(report: SourceReport) -> Iterator[str]:
    """Yield what stands against a sign-off."""
    yield from _open_units({"table": report.scope.tables, "partition": report.scope.partitions})
    if report.scope.tables.total == 0:
        yield "The inventory has no tables."
    yield from _open_states(report.scope.row)
    status = report.scope.row["scan_status"]
    if status is None:
        yield "MMS did not return the status of the last metadata scan."
    elif status != "DONE":
        yield f"The last metadata scan is {status}: new tables can be missing."
    if report.jobs is not None:
        yield from _open_jobs(report.jobs)
    if report.outdated is not None:
        yield from _open_outdated(report.outdated.partitions)
    if report.schedules is not None:
        yield from _open_schedules(report.schedules)
    for each in report.not_read:
        yield f"Not read: {each.part} ({each.reason})."


def _open_states(row: Mapping[str, Any]) -> Iterator[str]:
    # A data source may be stopped after its migration.
    is_done = row["progress"] == 1
    if row["status"] in _FAILED or (row["status"] in STOPPED_STATUSES and not is_done):
        yield f"The data source is {row['status']}."
    if row["agent_is_online"] is False and not is_done:
        yield "The agent is OFFLINE."


def _open_units(units: Mapping[str, UnitTotals]) -> Iterator[str]:
    if any(each.left is None for each in units.values()):
        yield "MMS did not return all counts of tables and partitions."
    for text, name in (("Failed", "failed"), ("Done in part only", "part_done"), (_WITHOUT_FAILED, "left")):
        counts = [count_of(number, noun) for noun, each in units.items() if (number := getattr(each, name))]
        if counts:
            yield f"{text}: {' and '.join(counts)}."


def _open_jobs(jobs: JobsPart) -> Iterator[str]:
    unfinished = [
        number for status, number in jobs.by_status.items() if status not in (JobStatus.DONE, JobStatus.FAILED)
    ]
    if jobs.total is None or None in jobs.by_status.values():
        yield "MMS did not return all counts of jobs."
    if jobs.stopped is None:
        yield "MMS did not return the number of stopped jobs."
    counts = {
        "Unfinished": sum(each or 0 for each in unfinished),
        "Stopped": jobs.stopped,
        "Failed": jobs.unresolved,
        "Without verification, of the jobs that were read": jobs.verification["off"],
    }
    for text, number in counts.items():
        if number:
            yield f"{text}: {count_of(number, 'job')}."


def _open_outdated(number: int | None) -> Iterator[str]:
    if number is None:
        yield "MMS did not return the number of outdated partitions."
    elif number:
        yield f"Outdated, because the source changed after the migration: {count_of(number, 'partition')}."


def _open_schedules(schedules: SchedulesPart) -> Iterator[str]:
    counts = {
        "whose last run FAILED": sum(row["last_run_status"] == JobStatus.FAILED for row in schedules.listed),
        "past their due time": sum(row["is_missed"] is True for row in schedules.listed),
        "that are stopped": sum(row["stopped"] is True for row in schedules.listed),
        "of which MMS did not return the state or the due time": sum(
            row["is_missed"] is None and row["stopped"] is not True and row["is_read"] for row in schedules.listed
        ),
    }
    for text, number in counts.items():
        if number:
            yield f"Schedules {text}: {number:,} of {len(schedules.listed):,}."
