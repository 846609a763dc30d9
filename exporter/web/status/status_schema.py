"""The records of `/api/v1/status` and of the status page.

null means that MMS did not return the value, or that the value is stale. Times are RFC 3339 in UTC. New fields may be
added; removing a field or changing its meaning raises SCHEMA_VERSION.
"""

from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from exporter.web.status.source_schema import (
    Count,
    ErrorStatus,
    Objects,
    Progress,
    ReasonsStatus,
    SourceStatus,
    StatusRecord,
    Time,
)

SCHEMA_VERSION: Final = 1


class CollectorStatus(StatusRecord, frozen=True, kw_only=True):
    """The result of one collector in the last refresh."""

    name: str
    """The collector, as in the label `collector`."""
    success: bool
    """Whether the collector read everything in the last refresh."""
    duration_seconds: float | None
    """Duration of the last run; null if it has not run."""
    last_success_at: Time | None
    """Time of the last complete run; null if there was none."""
    troubles: tuple[ErrorStatus, ...]
    """Errors of the last run; a few of each reason."""
    troubles_omitted: Count
    """Number of errors that are not listed."""


class AccountStatus(StatusRecord, frozen=True, kw_only=True):
    """One account in one region."""

    name: str
    """Name of the account in the configuration."""
    up: bool
    """Whether the last refresh listed its data sources."""
    complete: bool
    """Whether a refresh has ended; if false, the values are those that the first refresh has read so far."""
    sources: Count | None
    """Number of data sources, including those omitted from `sources`; null if they were never listed."""
    progress: Progress | None
    """Sum over the data sources with known progress; null if there is none."""
    collectors: tuple[CollectorStatus, ...]
    """Results of the collectors."""


class WatchedTable(StatusRecord, frozen=True, kw_only=True):
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


class WatchedPartition(StatusRecord, frozen=True, kw_only=True):
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


class Concerned(StatusRecord, frozen=True, kw_only=True):
    """One object that an attention item concerns."""

    name: str
    """The data source with its ID, or another object."""
    count: Count | None
    """Number of occurrences; null if the item has no number."""
    detail: str
    """What `count` counts, with its number; "" if the title says it."""
    commands: tuple[str, ...]
    """Shell commands of the next step for this object, complete with their flags; empty if there are none."""
    reasons: ReasonsStatus | None
    """Why tasks failed; null if it is unknown, or if the item is not about failures."""


class Attention(StatusRecord, frozen=True, kw_only=True):
    """One kind of problem that needs attention."""

    severity: Literal["critical", "warning", "info"]
    """Severity of the matching alert."""
    title: str
    """The problem."""
    message: str
    """The first error; "" if the title is enough."""
    hint: str
    """The next step."""
    alert: str
    """Name of the matching alert."""
    runbook: str
    """URL of the runbook of the alert."""
    concerned: tuple[Concerned, ...]
    """Affected objects, highest count first, up to the limit."""
    omitted: Count
    """Number of affected objects that are not listed."""


class Configuration(StatusRecord, frozen=True, kw_only=True):
    """State of the configuration."""

    loaded_at: Time | None
    """Time when the active configuration was loaded."""
    last_load_successful: bool
    """Whether the last load succeeded; after a failed load, the previous configuration stays active."""
    problems: tuple[str, ...]
    """Problems of the last load, each with its path."""


class ShardStatus(StatusRecord, frozen=True, kw_only=True):
    """The shard that this exporter reads."""

    index: Count
    """Index of the shard, from 0."""
    total: Annotated[int, Meta(ge=1)]
    """Number of shards."""


class Summary(StatusRecord, frozen=True, kw_only=True):
    """Totals of the values that were read in all accounts; null without any."""

    accounts: Count
    """Number of accounts."""
    accounts_up: Count
    """Accounts whose last refresh listed their data sources."""
    sources: Count | None
    """Number of data sources; null if no account ever listed them."""
    sources_stale: Count | None
    """Data sources with stale values; null if no account ever listed its data sources."""
    agents_offline: Count | None
    """Data sources whose agent is offline; null if the state of none is known."""
    jobs_unfinished: Count | None
    """Number of unfinished jobs; null if those of no data source are known."""
    jobs_failed: Count | None
    """Number of failed jobs; null if those of no data source are known."""
    jobs_resolved: Count | None
    """Failed jobs without anything FAILED in their scope, which `jobs_failed` includes; null like `jobs_failed`."""
    tables_failed: Count | None
    """Number of failed tables; null if those of no data source are known."""
    partitions_failed: Count | None
    """Number of failed partitions; null if those of no data source are known."""
    progress: Progress | None
    """Sum over the data sources with known progress."""


class StatusReport(StatusRecord, frozen=True, kw_only=True):
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
    shard: ShardStatus | None
    """The shard of this exporter; null if it reads all data sources."""
    awaited_accounts: tuple[str, ...]
    """Accounts whose first refresh has not ended."""
    summary: Summary
    """Totals over all accounts."""
    attention: tuple[Attention, ...]
    """Problems that need attention, critical ones first; empty if there are none."""
    accounts: tuple[AccountStatus, ...]
    """All accounts."""
    sources: tuple[SourceStatus, ...]
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
