"""The refresh of one account: its collectors run in turn, and what they bring is kept, aged and shown as a snapshot.

Owns when a refresh runs and how its collectors fared. A refresh never overlaps itself.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import structlog

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.collect.collector import Collector, CollectorContext, SourcesCollector
from exporter.collect.collectors.datasources import DataSourcesCollector
from exporter.collect.collectors.failures import FailuresCollector
from exporter.collect.collectors.jobs import JobsReader
from exporter.collect.collectors.tasks import tasks_collector
from exporter.collect.collectors.watch import WatchCollector
from exporter.collect.error_summary import summarized_errors
from exporter.collect.snapshot import AccountSnapshot, CollectorSnapshot, RefreshError
from exporter.collect.state.source_state import SourceStates
from exporter.config.loading import Account, Config
from exporter.errors import AuthRefused, CallTimedOut, CredentialsUnavailable, ExporterError, MmsError
from exporter.mms.client import Client
from exporter.mms.observer import Observer
from exporter.sharding import WHOLE, Shard

log = structlog.stdlib.get_logger()

NOTHING_ELSE_WORKS = (AuthRefused, CredentialsUnavailable)
"""Errors after which every other call of the account would fail alike."""


SHOW_SECONDS = 5.0
"""How long a refresh goes on before what it has read so far is shown."""
MAX_SOURCES_TOLD = 5
"""How many sources a log line names."""


class RefreshObserver(Observer, Protocol):
    """Hears of an account's refreshes beside its calls."""

    def skipped(self) -> None:
        """Note that a refresh was due while one ran."""


@dataclass(slots=True)
class _Record:
    """How a collector fared last."""

    success: bool = True
    duration_seconds: float | None = None
    """None where it has not run."""
    last_success_at: float | None = None
    troubles: tuple[RefreshError, ...] = ()
    troubles_total: int = 0
    is_told: bool = False
    """Whether its trouble was logged."""
    shown: CollectorSnapshot | None = None

    def note_trouble(self, errors: list[ExporterError]) -> None:
        """Keep what went wrong in the last refresh."""
        self.troubles, self.troubles_total = summarized_errors(errors), len(errors)

    def snapshot(self, account: str, collector: str) -> CollectorSnapshot:
        """Return what is shown of it; the same object for as long as that is the same."""
        now = CollectorSnapshot(
            *(account, collector, self.success, self.duration_seconds, self.last_success_at),
            *(self.troubles, self.troubles_total),
        )
        self.shown = self.shown if self.shown == now else now
        return self.shown


class AccountRefresher:
    """Keeps one account's figures, and calls `publish` whenever what `snapshot` returns may have changed."""

    def __init__(  # noqa: PLR0913, PLR0917 - time and share are what only tests and shards say
        self,
        account: Account,
        config: Config,
        client: Client,
        observer: RefreshObserver,
        publish: Callable[[], None],
        clock: Clock = SYSTEM_CLOCK,
        shard: Shard = WHOLE,
    ) -> None:
        self.account = account
        self._config = config
        self._settings = config.refresh
        self._observer = observer
        self._publish = publish
        self._clock = clock
        self._log = log.bind(account=account.name)
        self._sources = SourceStates()
        self._shown_at = 0.0
        means = CollectorContext(account, client, observer, self._sources, clock, self._log, self._note_progress, shard)
        self._listing = DataSourcesCollector(means, patience=config.refresh.stale_after)
        self._watch = WatchCollector(means, config.watch, is_alone=len(config.accounts) == shard.total == 1)
        self._others = tuple(self._enabled(config, means))
        self._records: dict[str, _Record] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self.has_ended_once = False
        """Whether a refresh has ended, well or badly."""

    def _enabled(self, config: Config, means: CollectorContext) -> Iterator[Collector]:
        """Yield the collectors that run after the listing, in their order: failures build on jobs, and so do tasks."""
        if config.jobs.enabled:
            yield SourcesCollector("jobs", JobsReader(means, config.jobs), means)
        if config.failures.enabled:
            yield FailuresCollector(means, config.failures.max_per_source, self._settings.stale_after)
        if config.watch.tables or config.watch.partitions:
            yield self._watch
        if config.tasks.enabled:  # the last, since it costs most
            yield tasks_collector(means, config.jobs.idle_interval, self._settings.stale_after)

    @property
    def has_result(self) -> bool:
        """Whether a collector has ended yet, well or badly."""
        return bool(self._records)

    def note_reload(self) -> None:
        """Note that the configuration was loaded anew, and what somebody wanted changed may have changed."""
        for collector in self._others:
            collector.note_reload()

    def take_over(self, before: "AccountRefresher") -> None:
        """Go on from what another refresher of the same account knew, and does not bring up to date any more."""
        enabled = {self._listing.name, *(collector.name for collector in self._others)}
        self._records = {name: record for name, record in before._records.items() if name in enabled}  # noqa: SLF001 - of the same class
        self._sources.take_over(before._sources, enabled, self.account.sources)  # noqa: SLF001 - likewise
        self._doubt_what_changed(before.account, before._config)  # noqa: SLF001 - likewise
        self._watch.take_over(before._watch)  # noqa: SLF001 - likewise
        self.has_ended_once = before.has_ended_once

    def _doubt_what_changed(self, account: Account, config: Config) -> None:
        """Have read anew what was read with these settings, where others hold now: nothing else would have it read."""
        if account.time_zone != self.account.time_zone:
            self._sources.doubt_times()
        if config.jobs != self._config.jobs:
            self._sources.doubt_jobs()
        if config.failures != self._config.failures:
            self._sources.doubt_failures()

    async def run(self, first_delay: float = 0.0, phase: float = 0.0) -> None:
        """Refresh after `first_delay` seconds and then once every interval, until cancelled.

        `phase`, from 0 to 1, is the share of the interval at which the later refreshes fall due, so that accounts do
        not all ask at once.
        """
        loop = asyncio.get_running_loop()
        due = loop.time() + phase * self._settings.interval
        try:
            self._await_expiry()  # of what was taken over
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
        """Refresh once, and return when the next refresh is due; those that were due meanwhile are skipped."""
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
        return due

    async def refresh(self) -> None:
        """Run every collector once. Raises nothing: what failed is part of the snapshot."""
        deadline = asyncio.get_running_loop().time() + self._settings.stale_after
        listing_error = next(iter(await self._collect(self._listing, deadline)), None)
        self._show()
        for collector in self._others:
            # Without a source, there is nothing that a collector could have read.
            is_blind = listing_error is not None and not self._sources.by_id
            if is_blind or isinstance(listing_error, NOTHING_ELSE_WORKS):
                collector.give_up()
                record = self._records.setdefault(collector.name, _Record())
                record.success = False
                record.note_trouble([])
            else:
                await self._collect(collector, deadline)
        self._sources.note_successes(self._clock.wall())
        self.has_ended_once = True
        self._show()

    async def _collect(self, collector: Collector, deadline: float) -> list[ExporterError]:
        """Run a collector until `deadline` at most, file how it fared, and return what went wrong."""
        started, outcomes = self._clock.monotonic(), self._sources.outcomes()
        try:
            async with asyncio.timeout_at(deadline):
                errors = await collector.collect()
        except asyncio.CancelledError:
            self._sources.restore(outcomes)  # whoever ends it, as a reload does, did not find anything wrong
            raise
        except TimeoutError:
            errors = [CallTimedOut(f"the refresh took longer than stale_after, {self._settings.stale_after:g} s")]
        record = self._records.setdefault(collector.name, _Record())
        self._log_change(collector.name, record, errors)
        record.is_told = bool(errors)
        record.success = not errors
        record.note_trouble(errors)
        record.duration_seconds = self._clock.monotonic() - started
        if not errors:
            record.last_success_at = self._clock.wall()
        return errors

    def _log_change(self, name: str, before: _Record, errors: list[ExporterError]) -> None:
        """Log one line when trouble begins, and one when it ends."""
        if errors and not before.is_told:
            known = [error for error in errors if isinstance(error, MmsError)]
            self._log.warning(
                "refresh failed, serving the last values until stale_after",
                collector=name,
                reasons=",".join(sorted({error.reason for error in known})) or "internal",
                failures=len(errors),
                about=", ".join([error.about for error in known if error.about][:MAX_SOURCES_TOLD]) or "the account",
                first=str(errors[0]),
                hint=next((error.hint for error in known), ""),
            )
        elif not errors and before.is_told:
            self._log.info("refresh recovered", collector=name)

    def _note_progress(self) -> None:
        """Show what was read so far, every few seconds."""
        if self._clock.monotonic() - self._shown_at > SHOW_SECONDS:
            self._show()

    def _show(self) -> None:
        """Publish, and again at the moment when something becomes stale."""
        self._shown_at = self._clock.monotonic()
        self._publish()
        self._await_expiry()

    def _await_expiry(self) -> None:
        """Have it shown when something becomes stale."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        remaining = min(self._remaining_seconds(), default=None)
        if remaining is not None:
            self._expiry = asyncio.get_running_loop().call_later(remaining + 0.001, self._show)

    def _remaining_seconds(self) -> Iterator[float]:
        """Yield, for each thing that is fresh, in how many seconds it will be stale."""
        now = self._clock.monotonic()
        known = (at for source in self._sources.by_id.values() for at in source.read_at())
        ends = (at + self._settings.stale_after - now for at in (*known, *self._watch.read_at()))
        yield from (left for left in ends if left >= 0)

    def snapshot(self) -> AccountSnapshot:
        """Return what is known now; what could not be read for `stale_after` is left out."""
        oldest = self._clock.monotonic() - self._settings.stale_after
        return AccountSnapshot(
            account=self.account.name,
            is_complete=self.has_ended_once,
            up=self._listing.name in self._records and self._records[self._listing.name].success,
            collectors=tuple(record.snapshot(self.account.name, name) for name, record in self._records.items()),
            sources=tuple(source.snapshot(oldest) for source in self._sources.by_id.values()),
            tables=self._watch.tables(oldest),
            partitions=self._watch.partitions(oldest),
        )
