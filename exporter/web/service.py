"""The exporter as it runs: an account's client and refresher each in a task, and the publisher over all of them.

Puts together what the inner rooms offer; owns the life of tasks and sessions, and what a reload keeps.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.collect.refresh import AccountRefresher
from exporter.collect.snapshot import Snapshot
from exporter.config import Account, Config
from exporter.errors import Problem
from exporter.exposition.publisher import Publisher
from exporter.exposition.telemetry import Telemetry
from exporter.mms.access import client_of
from exporter.mms.client import Client
from exporter.sharding import WHOLE, Shard
from exporter.web.status import Load, Situation

MAX_START_SPREAD_SECONDS: Final = 0.2
"""Between the first refreshes of two accounts."""


@dataclass(frozen=True, slots=True)
class _Running:
    """One account at work."""

    account: Account
    settings: tuple[object, ...]
    """All that its work depends on; a reload that leaves them as they are leaves it alone."""
    client: Client
    refresher: AccountRefresher
    task: asyncio.Task[None]


class Service:
    """Everything that runs beside the HTTP server."""

    def __init__(self, telemetry: Telemetry, clock: Clock = SYSTEM_CLOCK, shard: Shard = WHOLE) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._shard = shard
        self._accounts: dict[str, _Running] = {}
        self.publisher = Publisher(self.snapshot, telemetry, clock)
        self._publishing: asyncio.Task[None] | None = None
        self._started_at = clock.wall()
        self._load = Load()
        self._turn = asyncio.Lock()
        self._is_closed = False

    def snapshot(self) -> Snapshot:
        """Return what is known now of every account that was refreshed."""
        refreshers = (running.refresher for running in self._accounts.values())
        return Snapshot(tuple(each.snapshot() for each in refreshers if each.has_result))

    def situation(self) -> Situation:
        """Return all that can be told of what is published, without asking anybody."""
        publication = self.publisher.publication
        return Situation(
            snapshot=publication.snapshot,
            publication=publication.number,
            published_at=publication.at,
            started_at=self._started_at,
            load=self._load,
            awaited_accounts=tuple(self.awaited_accounts),
            shard=self._shard,
        )

    @property
    def awaited_accounts(self) -> list[str]:
        """The accounts whose first refresh has not ended, or is not handed out yet."""
        return [name for name in self._accounts if name not in self.publisher.accounts_shown]

    @property
    def is_ready(self) -> bool:
        """Whether the first refresh of every account has ended, well or badly, and is handed out."""
        return not self.awaited_accounts

    @property
    def is_healthy(self) -> bool:
        """Whether every task that should run does."""
        tasks = [running.task for running in self._accounts.values()]
        return not any(task.done() for task in (*tasks, self._publishing) if task is not None)

    async def apply(self, config: Config) -> None:
        """Run what `config` says, from now on; accounts whose settings did not change go on undisturbed.

        Done to the end, also where the caller is cancelled meanwhile: an account that is half stopped would leak.
        """
        applying = asyncio.create_task(self._apply(config), name="apply")
        try:
            await asyncio.shield(applying)
        except asyncio.CancelledError:
            await asyncio.wait({applying})
            raise

    async def _apply(self, config: Config) -> None:
        async with self._turn:
            if not self._is_closed:
                await self._replace_accounts(config)
                self._load = Load(self._clock.wall(), is_current=True)
                self._telemetry.note_load(self._load.at)
                self.publisher.note_change()

    async def _replace_accounts(self, config: Config) -> None:
        wanted = {account.name: account for account in config.accounts}
        stopped: dict[str, _Running] = {}
        for name, running in list(self._accounts.items()):
            if name not in wanted or running.settings != _settings(wanted[name], config):
                stopped[name] = self._accounts.pop(name)
                await self._stop(running)
                if name not in wanted:
                    self._telemetry.forget_account(name)
            else:
                running.refresher.note_reload()
        for index, (name, account) in enumerate(wanted.items()):
            if name not in self._accounts:
                self._accounts[name] = self._started(account, config, index, stopped.get(name))
        if self._publishing is None:
            self._publishing = asyncio.create_task(self.publisher.run(), name="publish")

    def note_failed_reload(self, problems: Sequence[Problem] = ()) -> None:
        """Have it seen that the configuration could not be loaded anew, and why."""
        self._load = replace(self._load, is_current=False, problems=tuple(map(str, problems)))
        self._telemetry.note_load(None)

    def note_web_config(self, succeeded: bool) -> None:  # noqa: FBT001 - what happened, told by its one caller
        """Have it seen whether the web configuration could be read anew."""
        self._telemetry.note_web_load(succeeded)

    def _started(self, account: Account, config: Config, index: int, before: _Running | None) -> _Running:
        refresher, client = self.refresher(account, config)
        if before is not None and before.account.has_same_sources_as(account):
            refresher.take_over(before.refresher)
        share = index / len(config.accounts)
        delay = min(index * MAX_START_SPREAD_SECONDS, share * config.refresh.interval)
        task = asyncio.create_task(refresher.run(delay, share), name=f"account {account.name}")
        return _Running(account, _settings(account, config), client, refresher, task)

    def refresher(self, account: Account, config: Config) -> tuple[AccountRefresher, Client]:
        """Return what keeps `account` fresh, and the client it uses, which the caller closes."""
        observer = self._telemetry.account(account.name)
        client = client_of(account, observer, self._clock)
        note_change = self.publisher.note_change
        return AccountRefresher(account, config, client, observer, note_change, self._clock, self._shard), client

    async def close(self) -> None:
        """End every task and session; nothing is applied after that."""
        async with self._turn:
            self._is_closed = True
            running, self._accounts = list(self._accounts.values()), {}
            await asyncio.gather(*map(self._stop, running))
        if self._publishing is not None:
            await _ended(self._publishing)

    async def _stop(self, running: _Running) -> None:
        await _ended(running.task)
        await running.client.close()


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; what it ends with is told by what it logged."""
    task.cancel()
    await asyncio.wait({task})


def _settings(account: Account, config: Config) -> tuple[object, ...]:
    return account, config.refresh, config.jobs, config.failures, config.tasks, config.watch
