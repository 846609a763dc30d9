"""Snapshot -> Report: what the exporter knows, as people and programs may read it. Pure.

Bounded in every dimension: of what is too much, some is shown and the rest is counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from exporter import __version__
from exporter.collect.snapshot import AccountSnapshot, CollectorSnapshot, Snapshot, SourceSnapshot
from exporter.mms.models import UNFINISHED_JOB_STATUSES
from exporter.sharding import WHOLE, Shard
from exporter.web import report
from exporter.web.attention import attention_in, needs_attention
from exporter.web.bounds import bounded
from exporter.web.progress import progress_of, together
from exporter.web.source_status import source_status
from exporter.web.texts import cut, optional_time, time
from exporter.web.watch_status import partition_status, table_status

MAX_SOURCES: Final = 2000
MAX_JOBS: Final = 1000
"""In all; no source has more than its share, and each has one."""
MAX_JOBS_OF_SOURCE: Final = 20
MAX_FAILURES: Final = 500
"""Of tables, and of partitions, as above."""
MAX_FAILURES_OF_SOURCE: Final = 20
MAX_WATCHED: Final = 500
"""Tables, and as many partitions."""


@dataclass(frozen=True, slots=True)
class Load:
    """How the configuration was loaded last."""

    at: float | None = None
    """Unix seconds of the last time that this worked."""
    is_current: bool = False
    """Whether the last attempt did."""
    problems: tuple[str, ...] = ()
    """What was wrong in an attempt that failed."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a report is made of; equal to another exactly if the reports are."""

    snapshot: Snapshot = field(compare=False)
    publication: int
    """The number of the snapshot, which stands for it where situations are compared."""
    published_at: float | None
    """Unix seconds; None before the first publication."""
    started_at: float
    """Unix seconds."""
    load: Load
    awaited_accounts: tuple[str, ...]
    shard: Shard = WHOLE


def report_of(situation: Situation) -> report.Report:
    """Return the report of a situation, no larger than `exporter.web.bounds` has it."""
    snapshot, load = situation.snapshot, situation.load
    sources = [source for account in snapshot.accounts for source in account.sources]
    tables = [table for account in snapshot.accounts for table in account.tables]
    partitions = [partition for account in snapshot.accounts for partition in account.partitions]
    shown = _shown(sources)
    everything = report.Report(
        schema_version=report.SCHEMA_VERSION,
        version=__version__,
        started_at=time(situation.started_at),
        published_at=optional_time(situation.published_at),
        configuration=report.Configuration(
            loaded_at=optional_time(load.at),
            last_load_successful=load.is_current,
            problems=tuple(map(cut, load.problems)),
        ),
        shard=_shard(situation.shard),
        awaited_accounts=situation.awaited_accounts,
        summary=_summary(snapshot, sources),
        attention=attention_in(snapshot, load.problems),
        accounts=tuple(map(_account, snapshot.accounts)),
        sources=_sources(shown),
        sources_omitted=len(sources) - len(shown),
        watched_tables=tuple(map(table_status, tables[:MAX_WATCHED])),
        watched_partitions=tuple(map(partition_status, partitions[:MAX_WATCHED])),
        watched_omitted=max(0, len(tables) - MAX_WATCHED) + max(0, len(partitions) - MAX_WATCHED),
    )
    return bounded(everything)


def _shard(shard: Shard) -> report.Shard | None:
    return None if shard.total == 1 else report.Shard(index=shard.index, total=shard.total)


def _shown(sources: Sequence[SourceSnapshot]) -> list[SourceSnapshot]:
    """Return the sources that are shown, by account and name; of too many, first those that need attention."""
    if len(sources) > MAX_SOURCES:
        sources = sorted(sources, key=lambda source: not needs_attention(source))[:MAX_SOURCES]
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


def _progress(sources: Iterable[SourceSnapshot]) -> report.Progress | None:
    each = (progress_of(source.figures.row) for source in sources if source.figures is not None)
    return together(progress for progress in each if progress is not None)


def _account(account: AccountSnapshot) -> report.Account:
    return report.Account(
        name=account.account,
        up=account.up,
        complete=account.is_complete,
        sources=len(account.sources),
        progress=_progress(account.sources),
        collectors=tuple(map(_collector, account.collectors)),
    )


def _collector(collector: CollectorSnapshot) -> report.Collector:
    return report.Collector(
        name=collector.collector,
        success=collector.success,
        duration_seconds=collector.duration_seconds,
        last_success_at=optional_time(collector.last_success_at),
        troubles=tuple(
            report.Trouble(reason=each.reason, about=cut(each.about), message=cut(each.message), hint=each.hint)
            for each in collector.troubles
        ),
        troubles_omitted=collector.troubles_total - len(collector.troubles),
    )


def _sources(shown: Sequence[SourceSnapshot]) -> tuple[report.Source, ...]:
    jobs = _share(MAX_JOBS, MAX_JOBS_OF_SOURCE, (bool(source.jobs and source.jobs.jobs) for source in shown))
    failures = _share(MAX_FAILURES, MAX_FAILURES_OF_SOURCE, (source.failures is not None for source in shown))
    return tuple(source_status(source, jobs, failures) for source in shown)


def _share(most: int, most_of_one: int, have_any: Iterable[bool]) -> int:
    """Return how many one may show, so that those who have any show `most` together, or one each."""
    return max(1, min(most_of_one, most // max(1, sum(have_any))))
