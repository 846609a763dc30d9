"""The refresh of one account: its collectors run in turn, and what they bring is kept, aged and shown as a snapshot.

Owns what is remembered between refreshes, and the one place where an unforeseen error is caught. A refresh never
overlaps itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.collect.datasources import read_inventory
from exporter.collect.job_memory import JobMemory
from exporter.collect.jobs import JobsReader
from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    SourceFigures,
    SourceName,
    SourceSnapshot,
)
from exporter.config import Account, Config
from exporter.errors import AuthRefused, CallTimedOut, CredentialsUnavailable, ExporterError, InternalError, MmsError
from exporter.mms.client import Client
from exporter.mms.observer import Observer

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
class _Source:
    """What is remembered of one data source. Ages are in monotonic seconds, `last_success_at` in Unix seconds."""

    figures: SourceFigures
    listed_at: float
    is_listed: bool = True
    """By the listing that ended last."""
    jobs: JobMemory = field(default_factory=JobMemory)
    jobs_at: float = 0.0
    jobs_succeeded: bool = True
    last_success_at: float | None = None


@dataclass(slots=True)
class _Collector:
    """How a collector fared last."""

    success: bool = True
    duration_seconds: float | None = None
    """None where it has not run."""
    last_success_at: float | None = None
    is_told: bool = False
    """Whether its trouble was logged."""


class AccountRefresher:
    """Keeps one account's figures, and calls `publish` whenever what `snapshot` returns may have changed."""

    def __init__(
        self,
        account: Account,
        config: Config,
        client: Client,
        observer: RefreshObserver,
        publish: Callable[[], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.account = account
        self._settings = config.refresh
        self._client = client
        self._observer = observer
        self._publish = publish
        self._clock = clock
        self._reader = JobsReader(client, config.jobs, account.time_zone, observer) if config.jobs.enabled else None
        self._sources: dict[int, _Source] = {}
        self._collectors: dict[str, _Collector] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self._shown_at = 0.0
        self._log = log.bind(account=account.name)
        self.has_ended_once = False
        """Whether a refresh has ended, well or badly."""

    @property
    def has_result(self) -> bool:
        """Whether a collector has ended yet, well or badly."""
        return bool(self._collectors)

    def take_over(self, before: "AccountRefresher") -> None:
        """Go on from what another refresher of the same account knew."""
        self._sources, self._collectors = before._sources, before._collectors  # noqa: SLF001 - of the same class
        self.has_ended_once = before.has_ended_once
        if self._reader is None:
            self._collectors.pop("jobs", None)
            for source in self._sources.values():
                source.jobs, source.jobs_succeeded = JobMemory(), True

    async def run(self, first_delay: float = 0.0, phase: float = 0.0) -> None:
        """Refresh after `first_delay` seconds and then once every interval, until cancelled.

        `phase`, from 0 to 1, is the share of the interval at which the later refreshes fall due, so that accounts do
        not all ask at once.
        """
        loop = asyncio.get_running_loop()
        due = loop.time() + phase * self._settings.interval
        await asyncio.sleep(first_delay)
        due += self._settings.interval if due < loop.time() + self._settings.interval / 2 else 0.0
        try:
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
            await refresh
        except Exception:  # noqa: BLE001 - the loop goes on, and the traceback is logged
            self._log.exception("unforeseen error; the refresh is tried again when it is due")
        finally:
            refresh.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(refresh, return_exceptions=True)
        return due

    async def refresh(self) -> None:
        """Run every collector once. Raises nothing: what failed is part of the snapshot."""
        deadline = asyncio.get_running_loop().time() + self._settings.stale_after
        listing_error = next(iter(await self._collect("datasources", self._list_sources, deadline)), None)
        if listing_error is not None:
            for source in self._sources.values():
                source.is_listed = False
        self._show()
        if self._reader is not None:
            if isinstance(listing_error, NOTHING_ELSE_WORKS) or (listing_error and not self._sources):
                self._give_up_jobs()
            else:
                await self._collect("jobs", self._read_jobs, deadline)
        self._note_successes()
        self.has_ended_once = True
        self._show()

    async def _collect(
        self,
        name: str,
        work: Callable[[], Awaitable[list[ExporterError]]],
        deadline: float,
    ) -> list[ExporterError]:
        """Run a collector until `deadline` at most, file how it fared, and return what went wrong."""
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout_at(deadline):
                errors = await work()
        except TimeoutError:
            errors = [CallTimedOut(f"the refresh ran longer than stale_after, {self._settings.stale_after:g} s")]
        collector = self._collectors.setdefault(name, _Collector())
        self._log_change(name, collector.success, errors)
        collector.is_told = bool(errors)
        collector.success = not errors
        collector.duration_seconds = self._clock.monotonic() - started
        if not errors:
            collector.last_success_at = self._clock.wall()
        return errors

    def _log_change(self, name: str, was_fine: bool, errors: list[ExporterError]) -> None:  # noqa: FBT001 - a state
        """Log one line when trouble begins, and one when it ends."""
        if errors and was_fine:
            known = [error for error in errors if isinstance(error, MmsError)]
            self._log.warning(
                "refresh failed; last values are kept until they are stale",
                collector=name,
                reasons=",".join(sorted({error.reason for error in known})) or "internal",
                failures=len(errors),
                sources=", ".join([error.about for error in known if error.about][:MAX_SOURCES_TOLD]),
                first=str(errors[0]),
                hint=next((error.hint for error in known), ""),
            )
        elif not errors and not was_fine and self._collectors[name].is_told:
            self._log.info("refresh works again", collector=name)

    async def _guarded(self, work: Awaitable[None], about: SourceName | None = None) -> list[ExporterError]:
        """Return what went wrong in `work`: one source's trouble, foreseen or not, is never another's."""
        where = {"source_id": about.source_id, "source": about.source} if about else {}
        try:
            await work
        except MmsError as error:
            self._log.debug("not read", error=str(error), reason=error.reason, **where)
            error.about = f"{about.source} ({about.source_id})" if about else ""
            return [error]
        except Exception as error:  # noqa: BLE001 - the refresh goes on, and the traceback is logged
            self._log.exception("unforeseen error", **where)
            return [InternalError(f"unforeseen error, {type(error).__name__}; its traceback is in the log")]
        return []

    async def _list_sources(self) -> list[ExporterError]:
        return await self._guarded(self._file_inventory())

    async def _file_inventory(self) -> None:
        inventory = await read_inventory(self._client, self.account, self._observer)
        now = self._clock.monotonic()
        for source_id, source in list(self._sources.items()):
            source.is_listed = source_id in inventory.sources
            # A list that is never whole must not keep what is gone for ever.
            is_gone = inventory.is_whole or now - source.listed_at > self._settings.stale_after
            if is_gone and not source.is_listed:
                del self._sources[source_id]
        for source_id, figures in inventory.sources.items():
            known = self._sources.setdefault(source_id, _Source(figures, now))
            known.listed_at = now
            if known.figures != figures:
                known.figures = figures
                known.jobs = known.jobs.renamed(figures.name)

    async def _read_jobs(self) -> list[ExporterError]:
        """Read every source's jobs, the longest unread first, so that a refresh cut short starves none."""
        waiting = iter(sorted(self._sources.values(), key=lambda source: source.jobs_at))
        unread = dict(self._sources)
        errors: list[ExporterError] = []

        async def work_off() -> None:
            for source in waiting:
                failures = await self._guarded(self._read_source_jobs(source), source.figures.name)
                errors.extend(failures)
                if not failures:
                    del unread[source.figures.name.source_id]
                if self._clock.monotonic() - self._shown_at > SHOW_SECONDS:
                    self._show()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.account.concurrency):
                    group.create_task(work_off())
        finally:
            for source_id, source in self._sources.items():
                source.jobs_succeeded = source_id not in unread
        return errors

    async def _read_source_jobs(self, source: _Source) -> None:
        if self._reader is None:
            return
        # Only a row that was listed just now can say that nothing changed.
        row = source.figures.row if source.is_listed else None
        source.jobs = await self._reader.read(source.figures.name, row, source.jobs, self._clock.monotonic())
        source.jobs_at = self._clock.monotonic()

    def _give_up_jobs(self) -> None:
        self._collectors.setdefault("jobs", _Collector()).success = False
        for source in self._sources.values():
            source.jobs_succeeded = False

    def _note_successes(self) -> None:
        now = self._clock.wall()
        for source in self._sources.values():
            if source.is_listed and source.jobs_succeeded:
                source.last_success_at = now

    def _show(self) -> None:
        """Publish, and again at the moment when something becomes stale."""
        self._shown_at = self._clock.monotonic()
        self._publish()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        remaining = min(self._remaining_seconds(), default=None)
        if remaining is not None:
            self._expiry = asyncio.get_running_loop().call_later(remaining + 0.001, self._show)

    def _remaining_seconds(self) -> Iterator[float]:
        """Yield, for each thing that is fresh, in how many seconds it will be stale."""
        now = self._clock.monotonic()
        for source in self._sources.values():
            ends = [source.listed_at, source.jobs_at] if source.jobs.figures else [source.listed_at]
            yield from (left for end in ends if (left := end + self._settings.stale_after - now) >= 0)

    def snapshot(self) -> AccountSnapshot:
        """Return what is known now; what could not be read for `stale_after` is left out."""
        oldest = self._clock.monotonic() - self._settings.stale_after
        return AccountSnapshot(
            account=self.account.name,
            up="datasources" in self._collectors and self._collectors["datasources"].success,
            collectors=tuple(
                CollectorSnapshot(self.account.name, name, each.success, each.duration_seconds, each.last_success_at)
                for name, each in self._collectors.items()
            ),
            sources=tuple(
                SourceSnapshot(
                    name=source.figures.name,
                    figures=source.figures if source.listed_at >= oldest else None,
                    jobs=source.jobs.figures if source.jobs_at >= oldest else None,
                    refreshed=source.is_listed and source.jobs_succeeded,
                    last_success_at=source.last_success_at,
                )
                for source in self._sources.values()
            ),
        )
