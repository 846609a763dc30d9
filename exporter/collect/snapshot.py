"""Immutable records of the values of all accounts: input of the exposition and the status page.

A part that did not change between two snapshots is the same object, so that its rendering is cached. Numerous records
are msgspec structs without GC tracking, which keeps full collections short.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from exporter.mms.models.records import Database, DataSource, Job, Partition, Table
from exporter.mms.models.schedules import TimerRuns
from exporter.mms.models.timer_records import Timer


class SourceName(Struct, frozen=True, gc=False):
    """Labels of every series of a data source."""

    account: str
    source_id: int
    source: str
    """Name of the source; "" if the API omitted it."""

    def __str__(self) -> str:
        return f"{self.source} ({self.source_id})"


class SourceStats(Struct, frozen=True, gc=False):
    """Row of a data source."""

    name: SourceName
    row: DataSource
    created_at: float | None
    """Unix seconds; None if absent or not a time."""
    synced_at: float | None
    """Unix seconds of the last metadata synchronisation; None if absent or not a time."""


class JobStats(Struct, frozen=True, gc=False):
    """Row of a job."""

    row: Job
    """Without the parts of its configuration that nothing reads."""
    created_at: float | None
    """Unix seconds; None if absent or not a time."""
    eta_at: float | None
    """Unix seconds; None if absent, empty or not a time."""
    unresolved: bool | None = None
    """Whether something FAILED remains, or may remain, in the scope of a failed job; None if unknown."""

    @property
    def task_type(self) -> str | None:
        """Return the type of its tasks."""
        return self.row.config.task_type if self.row.config else None

    @property
    def partitions(self) -> tuple[int, ...]:
        """Partition ids of a failed job of kind Partitions, highest first, truncated."""
        return self.row.config.partitions or () if self.row.config else ()


class JobsStats(Struct, frozen=True, gc=False):
    """Jobs of a source."""

    name: SourceName
    counts: dict[str, int]
    """Number of jobs by status; unknown numbers are omitted."""
    stopped: int | None
    """Number of stopped unfinished jobs; None if unknown for any job."""
    jobs: tuple[JobStats, ...]
    """Jobs with series of their own."""
    omitted: int
    """Number of unfinished jobs without series of their own."""
    resolved: int = 0
    """Number of failed jobs without failures in their scope, as far as they were read."""


class FailedUnit(Struct, frozen=True, gc=False):
    """A failed table or partition; None stands for an absent field."""

    src_db: str | None
    table: str | None
    partition: str | None
    """None for a table."""
    dst_project: str | None
    dst_schema: str | None
    dst_table: str | None
    id: int | None = None
    """Id of a partition; None for a table."""


class FailedUnits(Struct, frozen=True, gc=False):
    """Failed tables, or failed partitions, of a source."""

    newest: tuple[FailedUnit, ...]
    """Those with series of their own, highest id first."""
    total: int
    """Number of all failures of this kind."""


class FailuresStats(Struct, frozen=True, gc=False):
    """Failures of a source; None if unknown or stale."""

    name: SourceName
    tables: FailedUnits | None
    partitions: FailedUnits | None


class DatabasesStats(Struct, frozen=True, gc=False):
    """Databases of a source."""

    name: SourceName
    databases: tuple[Database, ...]
    """Those with series of their own, largest first."""
    total: int
    """Number of all databases."""


class ReasonsStats(Struct, frozen=True, gc=False):
    """Why tasks of a source failed."""

    name: SourceName
    totals: Mapping[str, int]
    """Number of failed tasks by phase; unknown numbers are omitted."""
    reasons: Mapping[str, int] | None
    """Number of examined tasks by reason; None if none was examined although some failed."""

    @property
    def examined(self) -> int | None:
        """Return the number of examined tasks; None as `reasons`."""
        return None if self.reasons is None else sum(self.reasons.values())


class TimerStats(Struct, frozen=True, gc=False):
    """A timer: its row, what its logs say, and when it is due."""

    row: Timer
    runs: TimerRuns | None
    """None if its logs were not read, or are stale."""
    due_at: float | None
    """Unix seconds of its first due time after its last run, or after it was created or changed.

    None if it is stopped, or if its schedule or its runs are unknown.
    """


class TimersStats(Struct, frozen=True, gc=False):
    """Timers of a source."""

    name: SourceName
    timers: tuple[TimerStats, ...]
    """Those with series of their own, newest first."""
    total: int
    """Number of all timers."""


class ScanStats(Struct, frozen=True, gc=False):
    """The running metadata scan of a source, and what scans found changed."""

    name: SourceName
    progress: float | None
    """Progress of the running scan, from 0 to 1; None without one, or if unknown."""
    outdated: int | None
    """Number of partitions that changed at the source after they were migrated; None if unknown."""


class JobTasks(Struct, frozen=True, gc=False):
    """Tasks of an unfinished job."""

    job_id: int
    name: str | None
    counts: Mapping[str, int]
    """Number of tasks by status; unknown numbers are omitted."""
    retried: int | None
    """Number of retried tasks; None if unknown."""


class TasksStats(Struct, frozen=True, gc=False):
    """Tasks of a source."""

    name: SourceName
    counts: Mapping[str, int] | None
    """Number of tasks of all jobs by status; None if unknown or stale."""
    jobs: tuple[JobTasks, ...]
    """Unfinished jobs with series of their own."""


class TableStats(Struct, frozen=True, gc=False):
    """Row of a watched table."""

    name: SourceName
    row: Table
    last_ddl_at: float | None
    """Unix seconds; None if absent or not a time."""


class PartitionStats(Struct, frozen=True, gc=False):
    """Row of a watched partition."""

    name: SourceName
    row: Partition
    last_ddl_at: float | None
    """Unix seconds; None if absent or not a time."""


class SourceSnapshot(Struct, frozen=True, gc=False):
    """Values of one data source and their freshness."""

    name: SourceName
    stats: SourceStats | None
    """None if stale."""
    jobs: JobsStats | None
    """None if stale or never read."""
    refreshed: bool
    """Whether the last refresh read the source completely."""
    last_success_at: float | None
    """Unix seconds of the last complete refresh; None before the first one."""
    failures: FailuresStats | None = None
    """None if stale or never read."""
    databases: DatabasesStats | None = None
    """None if stale or never read."""
    tasks: TasksStats | None = None
    """None if stale or never read."""
    reasons: ReasonsStats | None = None
    """None if stale, never read, or while nothing is failed."""
    timers: TimersStats | None = None
    """None if stale or never read."""
    scan: ScanStats | None = None
    """None if stale or never read."""
    jobs_failed_recently: int = 0
    """Jobs that failed in the last 30 minutes."""


@dataclass(frozen=True, slots=True)
class RefreshError:
    """An error of a refresh; its texts never quote the vendor."""

    reason: str
    """Value of the `reason` label; "internal" for unexpected errors."""
    about: str
    """Affected object as people name it; "" for the whole account."""
    message: str
    hint: str
    """Next step for the operator."""


@dataclass(frozen=True, slots=True)
class CollectorSnapshot:
    """Result of the last run of one collector."""

    account: str
    collector: str
    success: bool
    duration_seconds: float | None
    """None before the first run."""
    last_success_at: float | None
    """Unix seconds; None before the first success."""
    errors: tuple[RefreshError, ...] = ()
    """Errors of the last refresh, truncated, with some of each reason."""
    errors_total: int = 0
    """Number of all errors of the last refresh."""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """Values of one account after its last refresh."""

    account: str
    up: bool
    """Whether the last refresh listed the data sources."""
    is_complete: bool = True
    """Whether a refresh has finished; False while the first one publishes partial results."""
    collectors: tuple[CollectorSnapshot, ...] = ()
    sources: tuple[SourceSnapshot, ...] = ()
    tables: tuple[TableStats, ...] = ()
    """Watched tables that are not stale."""
    partitions: tuple[PartitionStats, ...] = ()
    """Watched partitions that are not stale."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Values of all accounts that have results."""

    accounts: tuple[AccountSnapshot, ...] = field(default=())
