"""Snapshot -> Report: what the exporter knows, as people and programs may read it. Pure.

Bounded in every dimension: of what is too much, some is shown and the rest is counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from exporter import __version__
from exporter.collect.snapshot import AccountSnapshot, CollectorSnapshot, Snapshot, SourceSnapshot
from exporter.mms.models import UNFINISHED_JOB_STATUSES
from exporter.sharding import UNSHARDED, Shard
from exporter.web.status import source_schema
from exporter.web.status import status_schema as report
from exporter.web.status.attention import attention_in, needs_attention
from exporter.web.status.progress_bars import progress_of, together
from exporter.web.status.source_status import source_status
from exporter.web.status.truncation import cut, optional_time, time
from exporter.web.status.watch_status import partition_status, table_status


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rows a report has at most; of jobs, failures and troubles, one of each owner at least."""

    sources: int
    jobs: int
    failures: int
    """Of tables, and as many of partitions."""
    watched: int
    """Tables, and as many partitions."""
    troubles: int
    of_source: int = 20
    """Jobs, failed tables and failed partitions of one data source."""


USUAL: Final = Limits(sources=2000, jobs=1000, failures=500, watched=500, troubles=10_000)
LEAST: Final = Limits(sources=150, jobs=150, failures=150, watched=100, troubles=100)
"""Rows that fit into 8 MB whatever they hold.

A text takes at most 512 bytes in the JSON, and on the page 600 where it is cut and 512 on hover. The JSON has 150
sources of 15 kB, 150 jobs of 5 kB, 300 failures of 4 kB, 200 watched rows of 3 kB, 100 troubles of 2 kB and 100 items
of attention of 4 kB: 5.4 MB. The page has these rows of 7, 7, 7 and 6 kB and the items of 9 kB: 6.3 MB.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """How the configuration was loaded last."""

    at: float | None = None
    """Unix seconds of the last time that this worked."""
    is_current: bool = False
    """Whether the last attempt did."""
    problems: tuple[str, ...] = ()
    """What was wrong in an attempt that failed."""
    is_web_current: bool = field(default=True, compare=False)
    """Whether the last attempt to load the web configuration succeeded; no report has it."""


@dataclass(frozen=True, slots=True)
class StatusInput:
    """All that a report is made of; equal to another exactly if the reports are."""

    snapshot: Snapshot = field(compare=False)
    publication: int
    """The number of the snapshot, which stands for it where status inputs are compared."""
    published_at: float | None
    """Unix seconds; None before the first publication."""
    started_at: float
    """Unix seconds."""
    load: Load
    awaited_accounts: tuple[str, ...]
    shard: Shard = UNSHARDED


def build_report(status_input: StatusInput, limits: Limits = USUAL) -> report.StatusReport:
    """Return the report of a status_input; what is beyond `limits` is counted."""
    snapshot, load = status_input.snapshot, status_input.load
    sources = [source for account in snapshot.accounts for source in account.sources]
    tables = [table for account in snapshot.accounts for table in account.tables]
    partitions = [partition for account in snapshot.accounts for partition in account.partitions]
    shown = _shown(sources, limits.sources)
    troubles = _share(limits.troubles, limits.troubles, _have_troubles(snapshot.accounts))
    return report.StatusReport(
        schema_version=report.SCHEMA_VERSION,
        version=__version__,
        started_at=time(status_input.started_at),
        published_at=optional_time(status_input.published_at),
        configuration=report.Configuration(
            loaded_at=optional_time(load.at),
            last_load_successful=load.is_current,
            problems=tuple(map(cut, load.problems)),
        ),
        shard=_shard(status_input.shard),
        awaited_accounts=status_input.awaited_accounts,
        summary=_summary(snapshot, sources),
        attention=attention_in(snapshot, load.problems),
        accounts=tuple(_account(account, troubles) for account in snapshot.accounts),
        sources=_sources(shown, limits),
        sources_omitted=len(sources) - len(shown),
        watched_tables=tuple(map(table_status, tables[: limits.watched])),
        watched_partitions=tuple(map(partition_status, partitions[: limits.watched])),
        watched_omitted=max(0, len(tables) - limits.watched) + max(0, len(partitions) - limits.watched),
    )


def _shard(shard: Shard) -> report.ShardStatus | None:
    return None if shard.total == 1 else report.ShardStatus(index=shard.index, total=shard.total)


def _shown(sources: Sequence[SourceSnapshot], most: int) -> list[SourceSnapshot]:
    """Return the sources that are shown, by account and name; of too many, first those that need attention."""
    if len(sources) > most:
        sources = sorted(sources, key=lambda source: not needs_attention(source))[:most]
    return sorted(sources, key=lambda source: (source.name.account, source.name.source, source.name.source_id))


def _summary(snapshot: Snapshot, sources: Sequence[SourceSnapshot]) -> report.Summary:
    rows = [source.figures.row for source in sources if source.figures is not None]
    jobs = [source.jobs for source in sources if source.jobs is not None]
    return report.Summary(
        accounts=len(snapshot.accounts),
        accounts_up=sum(account.up for account in snapshot.accounts),
        sources=len(sources),
        sources_stale=len(sources) - len(rows),
        agents_offline=sum(row.agent_is_online is False for row in rows),
        jobs_unfinished=sum(each.counts.get(status, 0) for each in jobs for status in UNFINISHED_JOB_STATUSES),
        jobs_failed=sum(each.counts.get("FAILED", 0) for each in jobs),
        tables_failed=sum(row.tables_failed_num or 0 for row in rows),
        partitions_failed=sum(row.partitions_failed_num or 0 for row in rows),
        progress=_progress(sources),
    )


def _progress(sources: Iterable[SourceSnapshot]) -> source_schema.Progress | None:
    each = (progress_of(source.figures.row) for source in sources if source.figures is not None)
    return together(progress for progress in each if progress is not None)


def _account(account: AccountSnapshot, troubles: int) -> report.AccountStatus:
    return report.AccountStatus(
        name=account.account,
        up=account.up,
        complete=account.is_complete,
        sources=len(account.sources),
        progress=_progress(account.sources),
        collectors=tuple(_collector(collector, troubles) for collector in account.collectors),
    )


def _have_troubles(accounts: Iterable[AccountSnapshot]) -> Iterable[bool]:
    return (bool(collector.errors) for account in accounts for collector in account.collectors)


def _collector(collector: CollectorSnapshot, most: int) -> report.CollectorStatus:
    shown = collector.errors[:most]
    return report.CollectorStatus(
        name=collector.collector,
        success=collector.success,
        duration_seconds=collector.duration_seconds,
        last_success_at=optional_time(collector.last_success_at),
        troubles=tuple(
            source_schema.ErrorStatus(
                reason=each.reason, about=cut(each.about), message=cut(each.message), hint=each.hint
            )
            for each in shown
        ),
        troubles_omitted=collector.errors_total - len(shown),
    )


def _sources(shown: Sequence[SourceSnapshot], limits: Limits) -> tuple[source_schema.SourceStatus, ...]:
    jobs = _share(limits.jobs, limits.of_source, (bool(source.jobs and source.jobs.jobs) for source in shown))
    failures = _share(limits.failures, limits.of_source, (source.failures is not None for source in shown))
    return tuple(source_status(source, jobs, failures) for source in shown)


def _share(most: int, most_of_one: int, have_any: Iterable[bool]) -> int:
    """Return how many one may show, so that those who have any show `most` together, or one each."""
    return max(1, min(most_of_one, most // max(1, sum(have_any))))
