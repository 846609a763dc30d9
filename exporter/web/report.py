"""What `/api/v1/status` answers, and what the status page shows: its records, in the words of MMS where it has some.

null is what MMS did not say, or what is too old to show. Times are RFC 3339 in UTC. Fields may be added; one that
changes its meaning or leaves raises SCHEMA_VERSION.
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
    """One object of the answer.

    The garbage collector does not look at it: it is part of no cycle, and looking through thousands holds every thread.
    """


class Trouble(Record, frozen=True, kw_only=True):
    """One thing that the last refresh could not do."""

    reason: str
    """A fixed word, as in the label `reason` of mms_api_request_failures_total; "internal" for a bug."""
    about: str
    """The data source, or what else it was about; "" for the account as a whole."""
    message: str
    """What happened, with status, code and request id where MMS gave them."""
    hint: str
    """What can be done."""


class Collector(Record, frozen=True, kw_only=True):
    """How one collector of an account fared in the last refresh."""

    name: str
    """As in the label `collector`."""
    success: bool
    """Whether the last refresh read all that it reads."""
    duration_seconds: float | None
    """How long it took; null where it has not run."""
    last_success_at: Time | None
    """When it last read everything; null if it never did."""
    troubles: tuple[Trouble, ...]
    """What went wrong, some of each reason."""
    troubles_omitted: Count
    """How much more went wrong."""


class Progress(Record, frozen=True, kw_only=True):
    """How far a migration is, over tables and partitions together."""

    total: Count
    """All there is in the inventory, or all that has a state where that is more; what failed is part of it."""
    done: Count
    part_done: Count
    """Tables of which some partitions are done."""
    doing: Count
    failed: Count
    ratio: Ratio | None
    """done / total; null where there is nothing to do."""

    @property
    def left(self) -> int:
        """What waits or moves; what failed waits for a person."""
        return self.total - self.done - self.part_done - self.failed


class Account(Record, frozen=True, kw_only=True):
    """One account in one region."""

    name: str
    up: bool
    """Whether the last refresh listed its data sources."""
    complete: bool
    """Whether a refresh has ended; else this is what the first one has read so far."""
    sources: Count
    """Its data sources, those that are omitted below included."""
    progress: Progress | None
    """Over its data sources whose progress is known; null where there are none."""
    collectors: tuple[Collector, ...]


class Objects(Record, frozen=True, kw_only=True):
    """Tables, or partitions, of a data source."""

    inventory: Count | None
    """All that the last metadata scan found."""
    doing: Count | None
    done: Count | None
    part_done: Count | None
    """Tables of which some partitions are done; null for partitions."""
    failed: Count | None


class Job(Record, frozen=True, kw_only=True):
    """A job that has not ended, or failed."""

    id: int
    name: str | None
    type: str | None
    """Database, Tables or Partitions."""
    task_type: str | None
    src_db: str | None
    src_schema: str | None
    dst_project: str | None
    dst_schema: str | None
    status: str | None
    """INIT, DOING, FAILED, or what else MMS says, in upper case."""
    stopped: bool | None
    tasks: Count | None
    tasks_done: Count | None
    ratio: Ratio | None
    """tasks_done / tasks; null where one is not known, or there are none."""
    created_at: Time | None
    eta_at: Time | None
    """The estimated or wished end, where it can be read."""


class Jobs(Record, frozen=True, kw_only=True):
    """The jobs of a data source."""

    counts: dict[str, Count]
    """All jobs by status."""
    stopped: Count | None
    """Jobs that have not ended and are stopped."""
    listed: tuple[Job, ...]
    """Some that have not ended or failed, the unfinished first."""
    omitted: Count
    """How many more there are of these."""


class Failed(Record, frozen=True, kw_only=True):
    """A failed table, or a failed partition of one."""

    src_db: str | None
    table: str | None
    partition: str | None
    """null for a table."""
    dst_project: str | None
    dst_schema: str | None
    dst_table: str | None


class Failures(Record, frozen=True, kw_only=True):
    """What failed of one kind in a data source."""

    total: Count
    named: tuple[Failed, ...]
    """Some of them, the highest id first."""
    omitted: Count
    """How many more failed."""


class Source(Record, frozen=True, kw_only=True):
    """One data source."""

    account: str
    id: int
    name: str
    """ "" where MMS did not say."""
    type: str | None
    """HIVE, BIGQUERY, ..., in upper case."""
    region: str | None
    network_link: str | None
    dst_projects: tuple[str, ...]
    """The MaxCompute projects that it is migrated to."""
    status: str | None
    """STARTED, STOPPED, START_FAILED, ..., in upper case."""
    agent_online: bool | None
    created_at: Time | None
    databases: Count | None
    """In the inventory."""
    tables: Objects
    partitions: Objects
    progress: Progress | None
    """null where MMS does not say enough."""
    metadata_synced_at: Time | None
    scan_id: Count | None
    scan_status: str | None
    """DOING, DONE, FAILED, in upper case."""
    jobs: Jobs | None
    """null where they were not read, or are too old to show."""
    tasks: dict[str, Count] | None
    """Tasks of all jobs by status; as above."""
    failed_tables: Failures | None
    """As above."""
    failed_partitions: Failures | None
    """As above."""
    refreshed: bool
    """Whether the last refresh read all there is to read of it."""
    stale: bool
    """Whether its figures are too old to show."""
    needs_attention: bool
    """Whether somebody should look at it; where there is no room for all, such sources come first."""
    last_success_at: Time | None
    """When all of it was last read; null if it never was."""


class WatchedTable(Record, frozen=True, kw_only=True):
    """A table that the configuration names."""

    account: str
    source_id: int
    source: str
    id: int
    src_db: str | None
    table: str | None
    status: str | None
    """INIT, DOING, DONE, PART_DONE, FAILED, or what else MMS says, in upper case."""
    partitions: Objects
    size_bytes: Count | None
    rows: Count | None
    last_ddl_at: Time | None


class WatchedPartition(Record, frozen=True, kw_only=True):
    """A partition that the configuration names."""

    account: str
    source_id: int
    source: str
    id: int
    src_db: str | None
    table: str | None
    partition: str | None
    """Its value."""
    status: str | None
    """INIT, DOING, DONE, FAILED, or what else MMS says, in upper case."""
    size_bytes: Count | None
    rows: Count | None
    last_ddl_at: Time | None


class Concerned(Record, frozen=True, kw_only=True):
    """Whom something concerns."""

    name: str
    """A data source with its id, or what else it is about."""
    count: Count | None
    """How many there are of what it is; null where that is no number."""


class Attention(Record, frozen=True, kw_only=True):
    """One kind of thing that somebody should look at."""

    severity: Literal["critical", "warning"]
    title: str
    message: str
    """What happened, of the first of them; "" where the title says it all."""
    hint: str
    """What can be done; "" where the runbook says it better."""
    runbook: str
    """A URL."""
    concerned: tuple[Concerned, ...]
    """Some whom it concerns, the highest counts first."""
    omitted: Count
    """How many more it concerns."""


class Configuration(Record, frozen=True, kw_only=True):
    """How the configuration was loaded."""

    loaded_at: Time | None
    """When the one that is in use was."""
    last_load_successful: bool
    """Whether the last attempt succeeded; after one that did not, the configuration before stays in use."""
    problems: tuple[str, ...]
    """What was wrong in the last attempt, each with its path."""


class Shard(Record, frozen=True, kw_only=True):
    """Which of several exporters of one configuration this is."""

    index: Count
    """From 0."""
    total: Annotated[int, Meta(ge=1)]


class Summary(Record, frozen=True, kw_only=True):
    """All accounts together."""

    accounts: Count
    accounts_up: Count
    sources: Count
    sources_stale: Count
    agents_offline: Count
    """Data sources whose agent is said to be offline."""
    jobs_unfinished: Count
    jobs_failed: Count
    tables_failed: Count
    partitions_failed: Count
    progress: Progress | None
    """Over the data sources whose progress is known."""


class Report(Record, frozen=True, kw_only=True):
    """What the exporter knew when it last published; nothing in it is asked of MMS for this."""

    schema_version: Literal[1]
    version: str
    """The exporter's."""
    started_at: Time
    published_at: Time | None
    """When what is shown was put together; null before the first refresh."""
    configuration: Configuration
    shard: Shard | None
    """null where this exporter reads all data sources; else the others are read, and told, by others."""
    awaited_accounts: tuple[str, ...]
    """Accounts whose first refresh has not ended."""
    summary: Summary
    attention: tuple[Attention, ...]
    """What somebody should look at, the critical first; empty where all is well."""
    accounts: tuple[Account, ...]
    sources: tuple[Source, ...]
    """By account and name."""
    sources_omitted: Count
    """Data sources that the bounds of this answer left out; what needs attention stays."""
    watched_tables: tuple[WatchedTable, ...]
    watched_partitions: tuple[WatchedPartition, ...]
    watched_omitted: Count
    """Watched tables and partitions that the bounds of this answer left out."""

    @property
    def tag(self) -> str:
        """What is equal to another's exactly if the report is."""
        return sha256(msgspec.json.encode(self)).hexdigest()[:32]
