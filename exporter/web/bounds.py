"""Report -> Report: as much of it as a number of bytes holds, and the rest counted. Pure.

Numbers of rows alone bound nothing: names come from the warehouse, and a character may take seven bytes of JSON. What
needs attention comes first. Beside what is bounded here, items of attention take 2.2 MB at most.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from exporter.web.allowance import Allowance
from exporter.web.report import Account, Collector, Failures, Jobs, Record, Report, Source

R = TypeVar("R", bound=Record)

MAX_BYTES: Final = 8_000_000
"""Of the JSON of a report; what the configuration itself says is not counted."""
TROUBLES_UNTIL: Final = 250_000
SOURCES_UNTIL: Final = 3_250_000
JOBS_UNTIL: Final = 4_250_000
FAILURES_UNTIL: Final = 5_250_000
WATCHED_UNTIL: Final = 5_700_000


def bounded(report: Report) -> Report:
    """Return a report with so many of its rows as fit."""
    allowance = Allowance()
    accounts = tuple(_account(account, allowance) for account in report.accounts)
    sources = _sources(report.sources, allowance)
    tables = _within(report.watched_tables, allowance, WATCHED_UNTIL)
    partitions = _within(report.watched_partitions, allowance, WATCHED_UNTIL)
    unwatched = len(report.watched_tables) + len(report.watched_partitions) - len(tables) - len(partitions)
    return replace(
        report,
        accounts=accounts,
        sources=sources,
        sources_omitted=report.sources_omitted + len(report.sources) - len(sources),
        watched_tables=tables,
        watched_partitions=partitions,
        watched_omitted=report.watched_omitted + unwatched,
    )


def _within(rows: Iterable[R], allowance: Allowance, until: int) -> tuple[R, ...]:
    return tuple(row for row in rows if allowance.takes(_size(row), until))


def _size(part: Any) -> int:  # noqa: ANN401 - whatever a report holds
    """Return the bytes of a part, with what stands between it and the next."""
    return len(msgspec.json.encode(part)) + 1


def _account(account: Account, allowance: Allowance) -> Account:
    return replace(account, collectors=tuple(_collector(each, allowance) for each in account.collectors))


def _collector(collector: Collector, allowance: Allowance) -> Collector:
    troubles = _within(collector.troubles, allowance, TROUBLES_UNTIL)
    omitted = collector.troubles_omitted + len(collector.troubles) - len(troubles)
    return replace(collector, troubles=troubles, troubles_omitted=omitted)


def _sources(sources: tuple[Source, ...], allowance: Allowance) -> tuple[Source, ...]:
    """Return sources in their order; where there is no room for all, and for all of each, first by need."""
    by_need = sorted(enumerate(sources), key=lambda each: not each[1].needs_attention)
    shown = [(place, source) for place, source in by_need if allowance.takes(_bare_size(source), SOURCES_UNTIL)]
    shown = [(place, replace(source, jobs=_jobs(source.jobs, allowance))) for place, source in shown]
    shown = [(place, _with_failures(source, allowance)) for place, source in shown]
    return tuple(source for _, source in sorted(shown, key=lambda each: each[0]))


def _bare_size(source: Source) -> int:
    """Return the bytes of a source without its jobs and failures."""
    lists: list[tuple[Record, ...]] = [source.jobs.listed] if source.jobs is not None else []
    lists += [each.named for each in (source.failed_tables, source.failed_partitions) if each is not None]
    return _size(source) - sum(map(_size, lists)) + 3 * len(lists)


def _jobs(jobs: Jobs | None, allowance: Allowance) -> Jobs | None:
    if jobs is None:
        return None
    listed = _within(jobs.listed, allowance, JOBS_UNTIL)
    return replace(jobs, listed=listed, omitted=jobs.omitted + len(jobs.listed) - len(listed))


def _with_failures(source: Source, allowance: Allowance) -> Source:
    tables, partitions = (_failures(each, allowance) for each in (source.failed_tables, source.failed_partitions))
    return replace(source, failed_tables=tables, failed_partitions=partitions)


def _failures(failures: Failures | None, allowance: Allowance) -> Failures | None:
    if failures is None:
        return None
    named = _within(failures.named, allowance, FAILURES_UNTIL)
    return replace(failures, named=named, omitted=failures.omitted + len(failures.named) - len(named))
