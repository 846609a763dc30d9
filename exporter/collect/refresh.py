"""The refresh loop of one account: runs the collectors in order and builds snapshots from their states.

Owns the schedule, the results of the collectors and the expiry of stale values. Refreshes never overlap.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Protocol

import structlog

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.collect.collector import Collector, CollectorContext
from exporter.collect.collectors.databases import DatabasesCollector
from exporter.collect.collectors.datasources import DataSourcesCollector
from exporter.collect.collectors.failures import FailuresCollector
from exporter.collect.collectors.jobs import JobsCollector
from exporter.collect.collectors.reasons import ReasonsCollector
from exporter.collect.collectors.scan import ScanCollector
from exporter.collect.collectors.tasks import TasksCollector
from exporter.collect.collectors.timers import TimersCollector
from exporter.collect.collectors.watch import WatchCollector
from exporter.collect.snapshot import AccountSnapshot, CollectorSnapshot, RefreshError
from exporter.collect.state.source_state import SourceState, SourceStates
from exporter.config.loading import Account, Config
from exporter.errors import (
    AuthRefused,
    CallTimedOut,
    CredentialsUnavailable,
    ExporterError,
    MmsError,
    SelectionUnmatched,
)
from exporter.mms.client import Client
from exporter.mms.throttle import Observer
from exporter.sharding import UNSHARDED, Shard

log = structlog.stdlib.get_logger()

ACCOUNT_WIDE_ERRORS = (AuthRefused, CredentialsUnavailable)
"""Errors that every other call of the account would hit too."""
PROGRESS_SECONDS = 5.0
"""Interval at which a running refresh publishes its partial results."""
MAX_LOGGED_SOURCES = 5
"""Limit of source names per log line."""
MAX_ERRORS_PER_COLLECTOR = 20
"""Limit of errors in a snapshot, with some of each reason."""


class RefreshObserver(Observer, Protocol):
    """Observes the refreshes of an account in addition to its calls."""

    def skipped(self) -> None:
        """Record that a refresh was due while another was running."""


@dataclass(slots=True)
class _CollectorRun:
    """Result of the last run of a collector."""

    success: bool = True
    duration_seconds: float | None = None
    """None before the first run."""
    last_success_at: float | None = None
    """Unix seconds; None before the first success."""
    errors: tuple[RefreshError, ...] = ()
    """Summary of the errors of the last refresh."""
    errors_total: int = 0
    is_logged: bool = False
    """Whether the current failure was logged."""
    cached: CollectorSnapshot | None = None

    @property
    def is_listed(self) -> bool:
        """Return whether the data sources were listed, selected or not."""
        return self.success or {each.reason for each in self.errors} == {SelectionUnmatched.reason}

    def set_errors(self, errors: list[ExporterError]) -> None:
        """Replace the errors of the last refresh."""
        self.errors, self.errors_total = summarized_errors(errors), len(errors)

    def snapshot(self, account: str, collector: str) -> CollectorSnapshot:
        """Return the snapshot; the same object while nothing changes."""
        snapshot = CollectorSnapshot(
            *(account, collector, self.success, self.duration_seconds, self.last_success_at),
            *(self.errors, self.errors_total),
        )
        self.cached = self.cached if self.cached == snapshot else snapshot
        return self.cached


class AccountRefresher:
    """Refreshes one account and calls `publish` when its snapshot may have changed."""

    def __init__(  # noqa: PLR0913, PLR0917 - tests set the clock, sharded exporters the shard
        self,
        account: Account,
        config: Config,
        client: Client,
        observer: RefreshObserver,
        publish: Callable[[], None],
        clock: Clock = SYSTEM_CLOCK,
        shard: Shard = UNSHARDED,
    ) -> None:
        self.account = account
        self._config = config
        self._settings = config.refresh
        self._observer = observer
        self._publish = publish
        self._clock = clock
        self._log = log.bind(account=account.name)
        self._sources = SourceStates()
        self._published_at = 0.0
        context = CollectorContext(
            account, client, observer, self._sources, clock, self._log, self._note_progress, shard
        )
        self._fan_out = context.fan_out
        self._datasources = DataSourcesCollector(context, max_unlisted_seconds=config.refresh.stale_after)
        self._watch = WatchCollector(context, config.watch, is_alone=len(config.accounts) == shard.total == 1)
        self._collectors = tuple(self._enabled_collectors(config, context))
        self._runs: dict[str, _CollectorRun] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self.has_completed_refresh = False
        """Whether a refresh has finished, with or without errors."""

    def _enabled_collectors(self, config: Config, context: CollectorContext) -> Iterator[Collector]:
        """Yield the collectors that run after the listing, in order."""
        # Failures and tasks use the jobs. Tasks run last, because they take the most calls.
        if config.jobs.enabled:
            yield JobsCollector(context, config.jobs)
        if config.databases.enabled:
            yield DatabasesCollector(context, config.databases.max_per_source, self._settings.stale_after)
        if config.scan.enabled:
            yield ScanCollector(context, config.jobs.idle_interval, self._settings.stale_after)
        if config.failures.enabled:
            yield FailuresCollector(context, config.failures.max_per_source, self._settings.stale_after)
        if config.failures.enabled and config.failures.reasons.enabled:
            yield ReasonsCollector(context, config.failures.reasons.max_tasks)
        if config.timers.enabled:
            yield TimersCollector(context, config.timers.interval, self._settings.stale_after)
        if config.watch.tables or config.watch.partitions:
            yield self._watch
        if config.tasks.enabled:
            yield TasksCollector(context, config.jobs.idle_interval, self._settings.stale_after)

    @property
    def has_result(self) -> bool:
        """Return whether a collector has run, with or without errors."""
        return bool(self._runs)

    def note_reload(self) -> None:
        """Make all collectors retry what MMS refused or did not find."""
        for collector in self._collectors:
            collector.note_reload()

    def inherit_from(self, previous: "AccountRefresher") -> None:
        """Take over the state of a stopped refresher of the same account."""
        enabled = {self._datasources.name, *(collector.name for collector in self._collectors)}
        self._runs = {name: run for name, run in previous._runs.items() if name in enabled}  # noqa: SLF001 - same class
        self._sources.inherit_from(previous._sources, enabled, self.account.sources)  # noqa: SLF001 - same class
        self._invalidate_changed(previous.account, previous._config)  # noqa: SLF001 - same class
        self._watch.inherit_from(previous._watch)  # noqa: SLF001 - same class
        self.has_completed_refresh = previous.has_completed_refresh

    def _invalidate_changed(self, account: Account, config: Config) -> None:
        """Invalidate the states that depend on settings changed by the reload."""
        if account.time_zone != self.account.time_zone:
            self._sources.invalidate_times()
        if config.jobs != self._config.jobs:
            self._sources.invalidate("jobs", "tasks")  # tasks depend on jobs
        for name in ("databases", "timers"):
            if getattr(config, name) != getattr(self._config, name):
                self._sources.invalidate(name)
        if config.failures != self._config.failures:
            self._sources.invalidate("failures", "reasons")

    async def run(self, first_delay: float = 0.0, phase: float = 0.0) -> None:
        """Refresh after `first_delay` seconds and then once every interval, until cancelled.

        `phase`, from 0 to 1, shifts the schedule by a share of the interval, so that accounts do not refresh at once.
        """
        loop = asyncio.get_running_loop()
        due = loop.time() + phase * self._settings.interval
        try:
            self._schedule_expiry()  # of the inherited values
            await asyncio.sleep(first_delay)
            due += self._settings.interval if due < loop.time() + self._settings.interval / 2 else 0.0
            while True:
                due = await self._refresh_until_due(due)
                await asyncio.sleep(due - loop.time())
                due += self._settings.interval
        finally:
            if self._expiry is not None:
                self._expiry.cancel()

    async def _refresh_until_due(self, due: float) -> float:
        """Refresh once, count skipped refreshes, and return the next due time."""
        is_first = not self.has_completed_refresh
        loop = asyncio.get_running_loop()
        refresh = asyncio.create_task(self.refresh(), name=f"refresh {self.account.name}")
        try:
            while not (await asyncio.wait({refresh}, timeout=due - loop.time()))[0]:
                self._observer.skipped()
                due += self._settings.interval
        except asyncio.CancelledError:
            refresh.cancel()
            await asyncio.wait({refresh})
            raise
        if error := refresh.exception():
            self._log.error("refresh failed with an unexpected error, retrying at the next interval", exc_info=error)
        elif is_first:
            self._log_first_refresh()
        return due

    def _log_first_refresh(self) -> None:
        jobs = [each.jobs.state.stats.counts for each in self._sources.by_id.values() if each.jobs.state.stats]
        self._log.info(
            "first refresh finished",
            data_sources=len(self._sources.by_id) if self._is_up else "unknown",
            jobs=sum(sum(counts.values()) for counts in jobs) if jobs or self._is_up else "unknown",
            seconds=round(sum(run.duration_seconds or 0 for run in self._runs.values()), 1),
            failed_collectors=",".join(name for name, run in self._runs.items() if not run.success) or "none",
        )

    async def refresh(self) -> None:
        """Run every collector once; errors become part of the snapshot."""
        deadline = asyncio.get_running_loop().time() + self._settings.stale_after
        errors = await self._collect(self._datasources, deadline)
        listing_error = next((each for each in errors if not isinstance(each, SelectionUnmatched)), None)
        await asyncio.sleep(0)  # with 10,000 data sources, each of these steps takes ms
        self._publish_now()
        await asyncio.sleep(0)
        for collector in self._collectors:
            has_no_sources = listing_error is not None and not self._sources.by_id
            if has_no_sources or isinstance(listing_error, ACCOUNT_WIDE_ERRORS):
                collector.skip()
                run = self._runs.setdefault(collector.name, _CollectorRun())
                run.success = False
                run.set_errors([])
            else:
                await self._collect(collector, deadline)
        await self._fan_out.for_each(self._sources.by_id.values(), self._resolve_jobs)
        self._sources.note_successes(self._clock.wall())
        self.has_completed_refresh = True
        self._publish_now()

    async def _resolve_jobs(self, source: SourceState) -> None:
        source.resolve_jobs(self._config.jobs, self._clock.monotonic())

    async def _collect(self, collector: Collector, deadline: float) -> list[ExporterError]:
        """Run a collector until `deadline`, record the result, and return the errors."""
        started, outcomes = self._clock.monotonic(), self._sources.outcomes()
        try:
            async with asyncio.timeout_at(deadline):
                errors = await collector.collect()
        except asyncio.CancelledError:
            self._sources.restore(outcomes)  # a cancellation, as by a reload, is not a failure
            raise
        except TimeoutError:
            errors = [CallTimedOut(f"the refresh took longer than stale_after, {self._settings.stale_after:g} s")]
        run = self._runs.setdefault(collector.name, _CollectorRun())
        self._log_change(collector.name, run, errors)
        run.is_logged, run.success = bool(errors), not errors
        run.set_errors(errors)
        run.duration_seconds = self._clock.monotonic() - started
        if not errors:
            run.last_success_at = self._clock.wall()
        return errors

    def _log_change(self, name: str, previous: _CollectorRun, errors: list[ExporterError]) -> None:
        """Log when a collector starts to fail and when it recovers."""
        if errors and not previous.is_logged:
            logged = list(map(_refresh_error, errors))
            affected = [error.about for error in logged if error.about]
            is_read = all(isinstance(error, SelectionUnmatched) for error in errors)
            self._log.warning(
                "a selection of data sources matches nothing"
                if is_read
                else "refresh failed, serving the last values, if any, until stale_after",
                collector=name,
                reasons=",".join(sorted({error.reason for error in logged})),
                failures=len(errors),
                about=", ".join(affected[:MAX_LOGGED_SOURCES]) or "the account",
                first=str(errors[0]),
                hint=logged[0].hint,
            )
        elif not errors and previous.is_logged:
            self._log.info("refresh recovered", collector=name)

    def _note_progress(self) -> None:
        """Publish partial results every PROGRESS_SECONDS."""
        if self._clock.monotonic() - self._published_at > PROGRESS_SECONDS:
            self._publish_now()

    def _publish_now(self) -> None:
        self._published_at = self._clock.monotonic()
        self._publish()
        if self._expiry is None:
            self._schedule_expiry()

    def _expire(self) -> None:
        self._expiry = None
        self._publish_now()

    def _schedule_expiry(self) -> None:
        """Publish again when the next value can become stale."""
        # Scheduled again only then: a value that is read meanwhile expires later, and this passes over all values.
        oldest = self._clock.monotonic() - self._settings.stale_after
        fresh = (at for at in (*self._sources.read_at(), *self._watch.read_at()) if at >= oldest)
        if (first := min(fresh, default=None)) is not None:
            self._expiry = asyncio.get_running_loop().call_later(first - oldest + 0.001, self._expire)

    @property
    def _is_up(self) -> bool:
        listing = self._runs.get(self._datasources.name)
        return listing is not None and listing.is_listed

    def snapshot(self) -> AccountSnapshot:
        """Return the current values; values not refreshed for `stale_after` are omitted."""
        oldest = self._clock.monotonic() - self._settings.stale_after
        return AccountSnapshot(
            account=self.account.name,
            is_complete=self.has_completed_refresh,
            up=self._is_up,
            collectors=tuple(run.snapshot(self.account.name, name) for name, run in self._runs.items()),
            sources=tuple(source.snapshot(oldest) for source in self._sources.by_id.values()),
            tables=self._watch.tables(oldest),
            partitions=self._watch.partitions(oldest),
        )


def summarized_errors(errors: Iterable[ExporterError]) -> tuple[RefreshError, ...]:
    """Return the first errors, round-robin over the reasons."""
    by_reason: dict[str, list[RefreshError]] = defaultdict(list)
    for error in map(_refresh_error, errors):
        by_reason[error.reason].append(error)
    interleaved = chain.from_iterable(zip_longest(*by_reason.values()))
    return tuple(islice((error for error in interleaved if error is not None), MAX_ERRORS_PER_COLLECTOR))


def _refresh_error(error: ExporterError) -> RefreshError:
    if isinstance(error, MmsError):
        return RefreshError(error.reason, error.about, str(error), error.hint)
    if isinstance(error, SelectionUnmatched):
        return RefreshError(error.reason, "", str(error), error.hint)
    hint = "look for the traceback in the log; this is probably a bug of the exporter"
    return RefreshError("internal", "", str(error), hint)
