"""The records of a data source in the status report: progress, databases, jobs, failures, schedules."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Time = Annotated[datetime, Meta(tz=True)]


class StatusRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One object of the response."""

    # gc=False: records form no cycles, and tracking thousands of them makes garbage collection slow.


class ErrorStatus(StatusRecord, frozen=True, kw_only=True):
    """One error of the last refresh."""

    reason: str
    """The error class, as in the label `reason` of mms_api_request_failures_total; "internal" for a bug,
    "selection" if `sources` selects nothing."""
    about: str
    """The data source or object that the error concerns; "" for the whole account."""
    message: str
    """The error, with HTTP status, error code and request ID if MMS returned them."""
    hint: str
    """The next step."""


class Progress(StatusRecord, frozen=True, kw_only=True):
    """Progress of a migration: tables and partitions together."""

    total: Count
    """Objects in the inventory, or objects with a status if there are more; failed objects are included."""
    done: Count
    """Objects in status DONE."""
    part_done: Count
    """Tables with some partitions migrated (PART_DONE)."""
    doing: Count
    """Objects in status DOING."""
    failed: Count
    """Objects in status FAILED."""
    ratio: Ratio | None
    """done / total; null if total is 0."""

    @property
    def left(self) -> int:
        """Objects that wait or run; failed ones are not included."""
        return self.total - self.done - self.part_done - self.failed


class Objects(StatusRecord, frozen=True, kw_only=True):
    """Counts of tables or partitions."""

    inventory: Count | None
    """Objects found by the last metadata scan."""
    doing: Count | None
    """Objects in status DOING."""
    done: Count | None
    """Objects in status DONE."""
    part_done: Count | None
    """Tables with some partitions migrated (PART_DONE); null for partitions."""
    failed: Count | None
    """Objects in status FAILED."""


class DatabaseEntry(StatusRecord, frozen=True, kw_only=True):
    """A database of a data source."""

    id: int
    """ID of the database."""
    name: str | None
    """Name of the source database."""
    status: str | None
    """INIT, DOING, DONE, PART_DONE, FAILED or a new value of MMS, in upper case."""
    tables: Objects
    """Counts of tables."""
    partitions: Objects
    """Counts of partitions."""
    progress: Progress | None
    """null if MMS did not return all counts."""
    size_bytes: Count | None
    """Size at the source, in bytes."""
    rows: Count | None
    """Number of rows at the source."""
    dst_project: str | None
    """Destination MaxCompute project."""
    dst_schema: str | None
    """Destination schema."""


class DatabasesStatus(StatusRecord, frozen=True, kw_only=True):
    """The databases of a data source."""

    total: Count
    """Number of databases."""
    listed: tuple[DatabaseEntry, ...]
    """Databases that are not DONE, then the others, each the largest first, up to the limit."""
    omitted: Count
    """Number of databases that are not listed."""


class JobEntry(StatusRecord, frozen=True, kw_only=True):
    """An unfinished or failed job."""

    id: int
    """ID of the job."""
    name: str | None
    """Name of the job."""
    type: str | None
    """Database, Tables or Partitions."""
    task_type: str | None
    """Type of its tasks, such as HIVE."""
    src_db: str | None
    """Source database."""
    src_schema: str | None
    """Source schema."""
    dst_project: str | None
    """Destination MaxCompute project."""
    dst_schema: str | None
    """Destination schema."""
    status: str | None
    """INIT, DOING, FAILED or a new value of MMS, in upper case."""
    stopped: bool | None
    """Whether the job is stopped."""
    tasks: Count | None
    """Number of tasks."""
    tasks_done: Count | None
    """Number of finished tasks."""
    ratio: Ratio | None
    """tasks_done / tasks; null if one is unknown, or tasks is 0."""
    created_at: Time | None
    """Creation time."""
    unresolved: bool | None
    """Whether something FAILED remains, or may remain, in the scope of a failed job; null if unknown, or not failed."""
    eta_at: Time | None
    """Requested completion time; null if MMS has none or it cannot be parsed."""
    overdue: bool
    """Whether the job is unfinished 15 minutes after its ETA, as in the alert MmsJobOverdue."""


class JobsStatus(StatusRecord, frozen=True, kw_only=True):
    """The jobs of a data source."""

    counts: dict[str, Count]
    """Number of all jobs by status."""
    stopped: Count | None
    """Number of unfinished jobs that are stopped."""
    resolved: Count | None
    """Failed jobs without anything FAILED in their scope; null if the number of failed jobs is unknown."""
    listed: tuple[JobEntry, ...]
    """Unfinished jobs, then failed jobs, up to the limit."""
    omitted: Count
    """Number of unfinished and failed jobs that are not listed."""


class FailedStatus(StatusRecord, frozen=True, kw_only=True):
    """A failed table or partition."""

    src_db: str | None
    """Source database."""
    table: str | None
    """Source table."""
    partition: str | None
    """Value of the partition; null for a table."""
    dst_project: str | None
    """Destination MaxCompute project."""
    dst_schema: str | None
    """Destination schema."""
    dst_table: str | None
    """Destination table."""


class FailuresStatus(StatusRecord, frozen=True, kw_only=True):
    """Failed tables, or failed partitions, of a data source."""

    total: Count
    """Number of failed objects."""
    named: tuple[FailedStatus, ...]
    """Failed objects, highest ID first, up to the limit."""
    omitted: Count
    """Number of failed objects that are not listed."""


class ReasonEntry(StatusRecord, frozen=True, kw_only=True):
    """Failed tasks with one reason."""

    reason: str
    """The reason, as in the label `reason` of mms_failed_task_reasons."""
    tasks: Count
    """Number of the examined failed tasks with this reason."""
    hint: str
    """What to do."""


class ReasonsStatus(StatusRecord, frozen=True, kw_only=True):
    """Why the newest failed tasks of a data source failed."""

    examined: Count
    """Number of failed tasks with an examined log: the newest ones."""
    listed: tuple[ReasonEntry, ...]
    """The 3 most frequent reasons."""
    omitted: Count
    """Number of reasons that are not listed."""


class ScheduleEntry(StatusRecord, frozen=True, kw_only=True):
    """A timer, which is a scheduled migration."""

    id: int
    """ID of the timer."""
    name: str | None
    """Name of the timer."""
    src_db: str | None
    """Source database."""
    type: str | None
    """DAILY, HOURLY or a new value of MMS, in upper case."""
    at: str | None
    """The time of day of a Daily timer, HH:MM; the minute of an Hourly one, MM; in the time zone of the account."""
    stopped: bool | None
    """Whether the timer is stopped."""
    last_run_at: Time | None
    """When it last created a job, or failed to; null before the first run, or if its logs were not read."""
    last_run_status: str | None
    """Status of that run: INIT, DOING, DONE, FAILED or a new value of MMS, in upper case."""
    due_at: Time | None
    """When it is first due after its last run; null if it is stopped or if this is unknown."""
    late: bool
    """Whether it was due more than 30 minutes ago, and its data source is not stopped."""


class SchedulesStatus(StatusRecord, frozen=True, kw_only=True):
    """The timers of a data source."""

    total: Count
    """Number of timers."""
    listed: tuple[ScheduleEntry, ...]
    """Late timers, then the others, each the newest first, up to the limit."""
    omitted: Count
    """Number of timers that are not listed."""


class SourceStatus(StatusRecord, frozen=True, kw_only=True):
    """One data source."""

    account: str
    """Name of the account."""
    id: int
    """ID of the data source."""
    name: str
    """Name of the data source; "" if MMS did not return it."""
    type: str | None
    """HIVE, BIGQUERY, ..., in upper case."""
    region: str | None
    """Region of the data source."""
    network_link: str | None
    """Network link to the data source."""
    dst_projects: tuple[str, ...]
    """Destination MaxCompute projects."""
    status: str | None
    """STARTED, STOPPED, START_FAILED, ..., in upper case."""
    agent_online: bool | None
    """Whether the agent is online."""
    created_at: Time | None
    """Creation time."""
    databases: Count | None
    """Databases found by the last metadata scan."""
    tables: Objects
    """Counts of tables."""
    partitions: Objects
    """Counts of partitions."""
    progress: Progress | None
    """null if MMS did not return all counts."""
    metadata_synced_at: Time | None
    """Time of the last metadata scan."""
    scan_id: Count | None
    """ID of the last metadata scan."""
    scan_status: str | None
    """Status of the last metadata scan: DOING, DONE, FAILED, in upper case."""
    scan_ratio: Ratio | None
    """Progress of the running metadata scan; null without one, or if it was not read or is stale."""
    partitions_outdated: Count | None
    """Partitions that changed at the source after they were migrated; null if they were not read, or are stale."""
    database_list: DatabasesStatus | None
    """Databases; null if they were not read, or are stale."""
    jobs: JobsStatus | None
    """Jobs; null if they were not read, or are stale."""
    tasks: dict[str, Count] | None
    """Tasks of all jobs by status; null if they were not read, or are stale."""
    failed_tables: FailuresStatus | None
    """Failed tables; null if they were not read, or are stale."""
    failed_partitions: FailuresStatus | None
    """Failed partitions; null if they were not read, or are stale."""
    reasons: ReasonsStatus | None
    """Why tasks failed; null if nothing is FAILED, or if it was not read or is stale."""
    schedules: SchedulesStatus | None
    """Timers; null if they were not read, or are stale."""
    refreshed: bool
    """Whether the last refresh read everything of this data source."""
    stale: bool
    """Whether the values are older than stale_after and therefore not shown."""
    needs_attention: bool
    """Whether the data source needs attention; such data sources are listed before others are omitted."""
    last_success_at: Time | None
    """Time when everything was last read; null if there was none."""
