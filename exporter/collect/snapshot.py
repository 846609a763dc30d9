"""What was known of every account after its last refresh: frozen records, the input of the exposition.

A part that did not change between two snapshots is the same object, so that its rendering can be kept. What there is
most of are structs that the garbage collector leaves alone: to look at each would hold up everything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from exporter.mms.models import DataSource


class SourceName(Struct, frozen=True, gc=False):
    """What every series of a data source carries."""

    account: str
    source_id: int
    source: str
    """The source's name; "" where the API did not say."""

    def __str__(self) -> str:
        return f"{self.source} ({self.source_id})"


class SourceStats(Struct, frozen=True, gc=False):
    """What the row of a data source says."""

    name: SourceName
    row: DataSource
    created_at: float | None
    """Unix seconds; None where the API did not say, or what it said is no time."""
    synced_at: float | None
    """Unix seconds of the last metadata synchronisation; None as above."""


class JobStats(Struct, frozen=True, gc=False):
    """What the row of a job says."""

    job_id: int
    name: str | None
    type: str | None
    task_type: str | None
    src_db: str | None
    src_schema: str | None
    dst_project: str | None
    dst_schema: str | None
    status: str | None
    stopped: bool | None
    tasks: int | None
    tasks_done: int | None
    created_at: float | None
    """Unix seconds."""
    eta_at: float | None
    """Unix seconds; None where it is empty or cannot be read."""
    partitions: tuple[int, ...] = ()
    """Of a failed job of kind Partitions, the ids of what it was to migrate, the highest first and not all of many."""


class JobsStats(Struct, frozen=True, gc=False):
    """What the lists of a source's jobs say."""

    name: SourceName
    counts: dict[str, int]
    """Number of jobs by status; a status whose number is not known is not there."""
    stopped: int | None
    """Unfinished jobs that are stopped; None where one of them does not say, or cannot be read."""
    jobs: tuple[JobStats, ...]
    """Those with series of their own."""
    omitted: int
    """Unfinished jobs without series of their own."""


class FailedUnit(Struct, frozen=True, gc=False):
    """A failed table, or a failed partition of one; None is what the API did not say."""

    src_db: str | None
    table: str | None
    partition: str | None
    """None for a table."""
    dst_project: str | None
    dst_schema: str | None
    dst_table: str | None


class FailedUnits(Struct, frozen=True, gc=False):
    """What failed of one kind in a source."""

    newest: tuple[FailedUnit, ...]
    """Those with series of their own, the highest id first."""
    total: int
    """All of them."""


class FailuresStats(Struct, frozen=True, gc=False):
    """What failed in a source; None where that is not known, or stale."""

    name: SourceName
    tables: FailedUnits | None
    partitions: FailedUnits | None


class JobTasks(Struct, frozen=True, gc=False):
    """The tasks of an unfinished job."""

    job_id: int
    name: str | None
    counts: Mapping[str, int]
    """Number of tasks by status; a status whose number is not known is not there."""
    retried: int | None
    """Tasks that were tried again; None where that is not known."""


class TasksStats(Struct, frozen=True, gc=False):
    """The tasks of a source."""

    name: SourceName
    counts: Mapping[str, int] | None
    """As above, over all jobs; None where that is not known, or stale."""
    jobs: tuple[JobTasks, ...]
    """Unfinished jobs that have series of their own."""


@dataclass(frozen=True, slots=True)
class TableStats:
    """What GetMmsTable says of a watched table."""

    name: SourceName
    table_id: int
    src_db: str | None
    table: str | None
    status: str | None
    partitions_doing: int | None
    partitions_done: int | None
    partitions_failed: int | None
    metadata_partitions: int | None
    size_bytes: int | None
    rows: int | None
    last_ddl_at: float | None
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class PartitionStats:
    """What GetMmsPartition says of a watched partition."""

    name: SourceName
    partition_id: int
    src_db: str | None
    table: str | None
    partition: str | None
    """Its value."""
    status: str | None
    size_bytes: int | None
    rows: int | None
    last_ddl_at: float | None
    """Unix seconds."""


class SourceSnapshot(Struct, frozen=True, gc=False):
    """One data source: what is known of it, and how fresh that is."""

    name: SourceName
    figures: SourceStats | None
    """None once stale."""
    jobs: JobsStats | None
    """None once stale, and where it was never read."""
    refreshed: bool
    """Whether the last refresh read all there is to read of it."""
    last_success_at: float | None
    """Unix seconds of the last refresh that did; None if none ever did."""
    failures: FailuresStats | None = None
    """None once stale, and where they were never read."""
    tasks: TasksStats | None = None
    """As above."""


@dataclass(frozen=True, slots=True)
class RefreshError:
    """One thing that a refresh could not do. No text of it is the vendor's."""

    reason: str
    """The value of the `reason` label; "internal" for what nobody foresaw."""
    about: str
    """What it was about, for people; "" where that is the account as a whole."""
    message: str
    hint: str
    """What the reader can do."""


@dataclass(frozen=True, slots=True)
class CollectorSnapshot:
    """How one collector of one account fared in the last refresh."""

    account: str
    collector: str
    success: bool
    duration_seconds: float | None
    """None where it has not run, because nothing could have come of it."""
    last_success_at: float | None
    """Unix seconds; None if it never succeeded."""
    troubles: tuple[RefreshError, ...] = ()
    """What went wrong in the last refresh, some of each reason where that is much."""
    troubles_total: int = 0
    """All that went wrong in it."""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """One account after its last refresh."""

    account: str
    up: bool
    """Whether the last refresh listed the data sources."""
    is_complete: bool = True
    """Whether a refresh has ended, well or badly; else this is what the first one has read so far."""
    collectors: tuple[CollectorSnapshot, ...] = ()
    sources: tuple[SourceSnapshot, ...] = ()
    tables: tuple[TableStats, ...] = ()
    """Those that are watched and not stale."""
    partitions: tuple[PartitionStats, ...] = ()
    """As above."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every account that was refreshed at least once."""

    accounts: tuple[AccountSnapshot, ...] = field(default=())
