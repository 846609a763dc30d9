"""StatusInput -> StatusReport, which the page and `/api/v1/status` show. Pure.

Every list is limited; omitted items are counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from exporter import __version__
from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    JobsStats,
    Snapshot,
    SourceName,
    SourceSnapshot,
)
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, JobStatus
from exporter.sharding import UNSHARDED, Shard
from exporter.web.status import source_schema
from exporter.web.status import status_schema as report
from exporter.web.status.alert_conditions import late_schedules, resolved_jobs
from exporter.web.status.attention import RUNBOOK_URL, attention_in, needs_attention
from exporter.web.status.formatting import optional_time, truncated, utc_time
from exporter.web.status.progress_bars import progress_of, total_progress
from exporter.web.status.source_status import RowLimits, partition_status, source_status, table_status


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum rows of a report."""

    # Each data source keeps at least one database, job and failure, each collector one error.

    sources: int
    databases: int
    jobs: int
    failures: int
    """Failed tables, and as many failed partitions."""
    schedules: int
    watched: int
    """Watched tables, and as many watched partitions."""
    troubles: int
    of_source: int = 20
    """Databases, jobs, failed tables, failed partitions and schedules of one data source."""


DEFAULT_LIMITS: Final = Limits(
    sources=2000, databases=1000, jobs=1000, failures=500, schedules=500, watched=500, troubles=10_000
)
MINIMUM_LIMITS: Final = Limits(
    sources=150, databases=150, jobs=150, failures=150, schedules=150, watched=100, troubles=100
)
"""Rows that fit into 8 MB with the longest texts.

A text takes at most 512 bytes in the JSON, and on the page 600 if truncated, and 512 as a tooltip. The JSON has 150
sources of 16 kB, 150 jobs of 5 kB, 300 failures of 4 kB, 150 schedules of 3 kB, 200 watched rows of 3 kB, 100
troubles of 2 kB and 100 items of attention of 4 kB: 6 MB. The page has these rows of 7, 7, 7, 4 and 6 kB and the items
of 9 kB: 6.9 MB. Reasons of failures add 20 kB to one item.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Status of the last load of the configuration."""

    at: float | None = None
    """Unix time of the last successful load; None if there was none."""
    is_current: bool = False
    """Whether the last load succeeded."""
    problems: tuple[str, ...] = ()
    """Problems of the last load."""
    is_web_current: bool = field(default=True, compare=False)
    """Whether the last load of the web configuration succeeded; not part of the report."""


@dataclass(frozen=True, slots=True)
class StatusInput:
    """Input of a report; equal inputs give equal reports."""

    snapshot: Snapshot = field(compare=False)
    publication: int
    """Number of the snapshot, compared instead of it."""
    published_at: float | None
    """Unix time; None before the first publication."""
    started_at: float
    """Unix time."""
    load: Load
    awaited_accounts: tuple[str, ...]
    shard: Shard = UNSHARDED


def build_report(
    status_input: StatusInput, limits: Limits = DEFAULT_LIMITS, runbook_url: str = RUNBOOK_URL
) -> report.StatusReport:
    """Build the report of a status input within `limits`."""
    snapshot, load = status_input.snapshot, status_input.load
    sources = [source for account in snapshot.accounts for source in account.sources]
    tables = [table for account in snapshot.accounts for table in account.tables]
    partitions = [partition for account in snapshot.accounts for partition in account.partitions]
    now = status_input.published_at or status_input.started_at
    listed = _listed(sources, limits.sources, now)
    max_errors = _share(limits.troubles, limits.troubles, _have_errors(snapshot.accounts))
    return report.StatusReport(
        schema_version=report.SCHEMA_VERSION,
        version=__version__,
        started_at=utc_time(status_input.started_at),
        published_at=optional_time(status_input.published_at),
        configuration=report.Configuration(
            loaded_at=optional_time(load.at),
            last_load_successful=load.is_current,
            problems=tuple(map(truncated, load.problems)),
        ),
        shard=_shard(status_input.shard),
        awaited_accounts=status_input.awaited_accounts,
        summary=_summary(snapshot, sources),
        attention=attention_in(snapshot, load.problems, runbook_url, now),
        accounts=tuple(_account(account, max_errors) for account in snapshot.accounts),
        sources=_sources(listed, limits, now),
        sources_omitted=len(sources) - len(listed),
        watched_tables=tuple(map(table_status, tables[: limits.watched])),
        watched_partitions=tuple(map(partition_status, partitions[: limits.watched])),
        watched_omitted=max(0, len(tables) - limits.watched) + max(0, len(partitions) - limits.watched),
    )


def _shard(shard: Shard) -> report.ShardStatus | None:
    return None if shard.total == 1 else report.ShardStatus(index=shard.index, total=shard.total)


def _listed(sources: Sequence[SourceSnapshot], limit: int, now: float) -> list[SourceSnapshot]:
    if len(sources) > limit:  # those that need attention take precedence
        sources = sorted(sources, key=lambda source: not needs_attention(source, now))[:limit]
    return sorted(sources, key=lambda source: (source.name.account, source.name.source, source.name.source_id))


def _summary(snapshot: Snapshot, sources: Sequence[SourceSnapshot]) -> report.Summary:
    is_listed = any(map(_is_listed, snapshot.accounts))
    rows = [source.stats.row for source in sources if source.stats is not None]

    def total(values: Iterable[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return sum(known) if known or (is_listed and not sources) else None

    return report.Summary(
        accounts=len(snapshot.accounts),
        accounts_up=sum(account.up for account in snapshot.accounts),
        sources=len(sources) if is_listed else None,
        sources_stale=len(sources) - len(rows) if is_listed else None,
        agents_offline=total(_negated(row.agent_is_online) for row in rows),
        jobs_unfinished=total(_count(source.jobs, UNFINISHED_JOB_STATUSES) for source in sources),
        jobs_failed=total(_count(source.jobs, (JobStatus.FAILED,)) for source in sources),
        jobs_resolved=total(map(resolved_jobs, sources)),
        tables_failed=total(row.tables_failed_num for row in rows),
        partitions_failed=total(row.partitions_failed_num for row in rows),
        progress=_progress(sources),
    )


def _is_listed(account: AccountSnapshot) -> bool:
    # Whether its data sources were ever listed.
    listings = (each for each in account.collectors if each.collector == "datasources")
    return account.up or bool(account.sources) or any(each.last_success_at is not None for each in listings)


def _negated(value: bool | None) -> bool | None:  # noqa: FBT001 - a field of MMS
    return None if value is None else not value


def _count(jobs: JobsStats | None, statuses: Iterable[str]) -> int | None:
    known = [jobs.counts[status] for status in statuses if status in jobs.counts] if jobs is not None else []
    return sum(known) if known else None


def _progress(sources: Iterable[SourceSnapshot]) -> source_schema.Progress | None:
    each = (progress_of(source.stats.row) for source in sources if source.stats is not None)
    return total_progress(progress for progress in each if progress is not None)


def _account(account: AccountSnapshot, max_errors: int) -> report.AccountStatus:
    return report.AccountStatus(
        name=account.account,
        up=account.up,
        complete=account.is_complete,
        sources=len(account.sources) if _is_listed(account) else None,
        progress=_progress(account.sources),
        collectors=tuple(_collector(collector, max_errors) for collector in account.collectors),
    )


def _have_errors(accounts: Iterable[AccountSnapshot]) -> Iterable[bool]:
    return (bool(collector.errors) for account in accounts for collector in account.collectors)


def _collector(collector: CollectorSnapshot, limit: int) -> report.CollectorStatus:
    listed = collector.errors[:limit]
    return report.CollectorStatus(
        name=collector.collector,
        success=collector.success,
        duration_seconds=collector.duration_seconds,
        last_success_at=optional_time(collector.last_success_at),
        troubles=tuple(
            source_schema.ErrorStatus(
                reason=each.reason, about=truncated(each.about), message=truncated(each.message), hint=each.hint
            )
            for each in listed
        ),
        troubles_omitted=collector.errors_total - len(listed),
    )


def _sources(listed: Sequence[SourceSnapshot], limits: Limits, now: float) -> tuple[source_schema.SourceStatus, ...]:
    databases = _share(limits.databases, limits.of_source, (bool(source.databases) for source in listed))
    jobs = _share(limits.jobs, limits.of_source, (bool(source.jobs and source.jobs.jobs) for source in listed))
    failures = _share(limits.failures, limits.of_source, (source.failures is not None for source in listed))
    schedules = _share(limits.schedules, limits.of_source, (source.timers is not None for source in listed))
    limits_of_source = RowLimits(databases, jobs, failures, schedules)
    # 2,000 data sources leave space for 50 schedules.
    left = min(limits.schedules, 50 * DEFAULT_LIMITS.sources // max(1, len(listed)))
    made: dict[SourceName, source_schema.SourceStatus] = {}
    for source in sorted(listed, key=lambda source: not late_schedules(source, now)):
        own = limits_of_source._replace(schedules=min(schedules, left))
        status = made[source.name] = source_status(source, own, now)
        left -= len(status.schedules.listed) if status.schedules else 0
    return tuple(made[source.name] for source in listed)


def _share(total: int, per_owner: int, have_any: Iterable[bool]) -> int:
    # All owners together have at most `total` rows, but at least one each.
    return max(1, min(per_owner, total // max(1, sum(have_any))))
