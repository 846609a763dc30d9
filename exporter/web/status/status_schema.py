"""The records of `/api/v1/status` and of the status page.

null means that MMS did not return the value, or that the value is stale. Times are RFC 3339 in UTC. New fields may be
added; removing a field or changing its meaning raises SCHEMA_VERSION.
"""

from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

SCHEMA_VERSION: Final = 1

Count = Annotated[int, Meta(ge=0)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Time = Annotated[datetime, Meta(tz=True)]


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """One object of the response."""

    # gc=False: records form no cycles, and tracking thousands of them makes garbage collection slow.


class Trouble(Record, frozen=True, kw_only=True):
    """One error of the last refresh."""

    reason: str
    """The error class, as in the label `reason` of mms_api_request_failures_total; "internal" for a bug."""
    about: str
    """The data source or object that the error concerns; "" for the whole account."""
    message: str
    """The error, with HTTP status, error code and request ID if MMS returned them."""
    hint: str
    """The next step."""


class Collector(Record, frozen=True, kw_only=True):
    """The result of one collector in the last refresh."""

    name: str
    """The collector, as in the label `collector`."""
    success: bool
    """Whether the collector read everything in the last refresh."""
    duration_seconds: float | None
    """Duration of the last run; null if it has not run."""
    last_success_at: Time | None
    """Time of the last complete run; null if there was none."""
    troubles: tuple[Trouble, ...]
    """Errors of the last run; a few of each reason."""
    troubles_omitted: Count
    """Number of errors that are not listed."""


class Progress(Record, frozen=True, kw_only=True):
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


class Account(Record, frozen=True, kw_only=True):
    """One account in one region."""

    name: str
    """Name of the account in the configuration."""
    up: bool
    """Whether the last refresh listed its data sources."""
    complete: bool
    """Whether a refresh has ended; if false, the values are those that the first refresh has read so far."""
    sources: Count
    """Number of data sources, including those omitted from `sources`."""
    progress: Progress | None
    """Sum over the data sources with known progress; null if there is none."""
    collectors: tuple[Collector, ...]
    """Results of the collectors."""


class Objects(Record, frozen=True, kw_only=True):
    """Counts of the tables or partitions of a data source or table."""

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


class Job(Record, frozen=True, kw_only=True):
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
    eta_at: Time | None
    """Requested completion time; null if MMS has none or it cannot be parsed."""


class Jobs(Record, frozen=True, kw_only=True):
    """The jobs of a data source."""

    counts: dict[str, Count]
    """Number of all jobs by status."""
    stopped: Count | None
    """Number of unfinished jobs that are stopped."""
    listed: tuple[Job, ...]
    """Unfinished jobs, then failed jobs, up to the limit."""
    omitted: Count
    """Number of unfinished and failed jobs that are not listed."""


class Failed(Record, frozen=True, kw_only=True):
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


class Failures(Record, frozen=True, kw_only=True):
    """Failed tables, or failed partitions, of a data source."""

    total: Count
    """Number of failed objects."""
    named: tuple[Failed, ...]
    """Failed objects, highest ID first, up to the limit."""
    omitted: Count
    """Number of failed objects that are not listed."""


class Source(Record, frozen=True, kw_only=True):
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
    jobs: Jobs | None
    """Jobs; null if they were not read, or are stale."""
    tasks: dict[str, Count] | None
    """Tasks of all jobs by status; null if they were not read, or are stale."""
    failed_tables: Failures | None
    """Failed tables; null if they were not read, or are stale."""
    failed_partitions: Failures | None
    """Failed partitions; null if they were not read, or are stale."""
    refreshed: bool
    """Whether the last refresh read everything of this data source."""
    stale: bool
    """Whether the values are older than stale_after and therefore not shown."""
    needs_attention: bool
    """Whether the data source needs attention; such data sources are listed before others are omitted."""
    last_success_at: Time | None
    """Time when everything was last read; null if there was none."""


class WatchedTable(Record, frozen=True, kw_only=True):
    """A table in the `watch` section of the configuration."""

    account: str
    """Name of the account."""
    source_id: int
    """ID of the data source."""
    source: str
    """Name of the data source."""
    id: int
    """ID of the table."""
    src_db: str | None
    """Source database."""
    table: str | None
    """Source table."""
    status: str | None
    """INIT, DOING, DONE, PART_DONE, FAILED or a new value of MMS, in upper case."""
    partitions: Objects
    """Counts of partitions."""
    size_bytes: Count | None
    """Size in bytes."""
    rows: Count | None
    """Number of rows."""
    last_ddl_at: Time | None
    """Time of the last DDL change at the source."""


class WatchedPartition(Record, frozen=True, kw_only=True):
    """A partition in the `watch` section of the configuration."""

    account: str
    """Name of the account."""
    source_id: int
    """ID of the data source."""
    source: str
    """Name of the data source."""
    id: int
    """ID of the partition."""
    src_db: str | None
    """Source database."""
    table: str | None
    """Source table."""
    partition: str | None
    """Value of the partition."""
    status: str | None
    """INIT, DOING, DONE, FAILED or a new value of MMS, in upper case."""
    size_bytes: Count | None
    """Size in bytes."""
    rows: Count | None
    """Number of rows."""
    last_ddl_at: Time | None
    """Time of the last DDL change at the source."""


class Concerned(Record, frozen=True, kw_only=True):
    """One object that an attention item concerns."""

    name: str
    """The data source with its ID, or another object."""
    count: Count | None
    """Number of occurrences; null if the item has no number."""


class Attention(Record, frozen=True, kw_only=True):
    """One kind of problem that needs attention."""

    severity: Literal["critical", "warning"]
    """Severity of the matching alert."""
    title: str
    """The problem."""
    message: str
    """The first error; "" if the title is enough."""
    hint: str
    """The next step; "" if the runbook has it."""
    runbook: str
    """URL of the runbook."""
    concerned: tuple[Concerned, ...]
    """Affected objects, highest count first, up to the limit."""
    omitted: Count
    """Number of affected objects that are not listed."""


class Configuration(Record, frozen=True, kw_only=True):
    """State of the configuration."""

    loaded_at: Time | None
    """Time when the active configuration was loaded."""
    last_load_successful: bool
    """Whether the last load succeeded; after a failed load, the previous configuration stays active."""
    problems: tuple[str, ...]
    """Problems of the last load, each with its path."""


class Shard(Record, frozen=True, kw_only=True):
    """The shard that this exporter reads."""

    index: Count
    """Index of the shard, from 0."""
    total: Annotated[int, Meta(ge=1)]
    """Number of shards."""


class Summary(Record, frozen=True, kw_only=True):
    """Totals over all accounts."""

    accounts: Count
    """Number of accounts."""
    accounts_up: Count
    """Accounts whose last refresh listed their data sources."""
    sources: Count
    """Number of data sources."""
    sources_stale: Count
    """Data sources with stale values."""
    agents_offline: Count
    """Data sources whose agent is offline."""
    jobs_unfinished: Count
    """Number of unfinished jobs."""
    jobs_failed: Count
    """Number of failed jobs."""
    tables_failed: Count
    """Number of failed tables."""
    partitions_failed: Count
    """Number of failed partitions."""
    progress: Progress | None
    """Sum over the data sources with known progress."""


class Report(Record, frozen=True, kw_only=True):
    """The last published state of the exporter. A request for it makes no calls to MMS."""

    schema_version: Literal[1]
    """Version of this schema."""
    version: str
    """Version of the exporter."""
    started_at: Time
    """Start time of the exporter."""
    published_at: Time | None
    """Time of publication; null before the first refresh."""
    configuration: Configuration
    """State of the configuration."""
    shard: Shard | None
    """The shard of this exporter; null if it reads all data sources."""
    awaited_accounts: tuple[str, ...]
    """Accounts whose first refresh has not ended."""
    summary: Summary
    """Totals over all accounts."""
    attention: tuple[Attention, ...]
    """Problems that need attention, critical ones first; empty if there are none."""
    accounts: tuple[Account, ...]
    """All accounts."""
    sources: tuple[Source, ...]
    """Data sources, sorted by account and name, up to the limit."""
    sources_omitted: Count
    """Number of data sources that are not listed; those that need attention are listed first."""
    watched_tables: tuple[WatchedTable, ...]
    """Watched tables, up to the limit."""
    watched_partitions: tuple[WatchedPartition, ...]
    """Watched partitions, up to the limit."""
    watched_omitted: Count
    """Number of watched tables and partitions that are not listed."""

    @property
    def tag(self) -> str:
        """A digest of the content, for the ETag."""
        return sha256(msgspec.json.encode(self)).hexdigest()[:32]
