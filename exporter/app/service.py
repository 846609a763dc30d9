"""The exporter as it runs: an account's client and refresher each in a task, and the publisher over all of them.

Puts together what the inner rooms offer; owns the life of tasks and sessions, and what a reload keeps.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.collect.refresh import AccountRefresher
from exporter.collect.snapshot import Snapshot
from exporter.config.loading import Account, Config
from exporter.exposition.publisher import Publisher
from exporter.exposition.telemetry import Telemetry
from exporter.mms.client import Client
from exporter.mms.client_factory import create_client
from exporter.sharding import UNSHARDED, Shard
from exporter.web.status.status_report import Load, StatusInput

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

    def __init__(self, telemetry: Telemetry, clock: Clock = SYSTEM_CLOCK, shard: Shard = UNSHARDED) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._shard = shard
        self._accounts: dict[str, _Running] = {}
        self._ending: frozenset[asyncio.Task[None]] = frozenset()
        """The tasks that are to end: that they do is no ailment."""
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

    def status_input(self) -> StatusInput:
        """Return all that can be told of what is published, without asking anybody."""
        publication = self.publisher.publication
        return StatusInput(
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
        tasks = [running.task for running in self._accounts.values() if running.task not in self._ending]
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
                self.note_load(at=self._clock.wall(), is_current=True, problems=())
                self.publisher.note_change()

    async def _replace_accounts(self, config: Config) -> None:
        """Have the accounts of `config` run in place of those of now, all in one swap."""
        before = self._accounts
        kept = {each.name: before[each.name] for each in config.accounts if self._is_unchanged(each, config)}
        fresh = {each.name: self.refresher(each, config) for each in config.accounts if each.name not in kept}
        replaced = [running for name, running in before.items() if name not in kept]
        await self._end(replaced)
        # Nobody else has a turn from here to the swap, so that each page shows the accounts before or those after.
        self._accounts = {
            each.name: kept.get(each.name) or self._started(each, config, index, *fresh[each.name])
            for index, each in enumerate(config.accounts)
        }
        for running in kept.values():
            running.refresher.note_reload()
        for name in before.keys() - self._accounts.keys():
            self._telemetry.forget_account(name)
        if self._publishing is None:
            self._publishing = asyncio.create_task(self.publisher.run(), name="publish")
        await asyncio.gather(*(running.client.close() for running in replaced))

    def _is_unchanged(self, account: Account, config: Config) -> bool:
        running = self._accounts.get(account.name)
        return running is not None and running.settings == _settings(account, config)

    def note_load(self, **changes: Any) -> None:
        """Change the status of the last load, which the report and the metrics show."""
        self._load = replace(self._load, **changes)
        is_current = self._load.is_current and self._load.is_web_current
        self._telemetry.note_load(self._load.at, is_current=is_current)

    def note_web_load(self, succeeded: bool) -> None:  # noqa: FBT001 - called by the watcher
        """Change the status of the last load of the web configuration."""
        self.note_load(is_web_current=succeeded)

    def _started(
        self, account: Account, config: Config, index: int, refresher: AccountRefresher, client: Client
    ) -> _Running:
        before = self._accounts.get(account.name)
        if before is not None and before.account.has_same_endpoint(account):
            refresher.inherit_from(before.refresher)
            client.inherit_from(before.client)
        share = index / len(config.accounts)
        delay = min(index * MAX_START_SPREAD_SECONDS, share * config.refresh.interval)
        task = asyncio.create_task(refresher.run(delay, share), name=f"account {account.name}")
        return _Running(account, _settings(account, config), client, refresher, task)

    def refresher(self, account: Account, config: Config) -> tuple[AccountRefresher, Client]:
        """Return what keeps `account` fresh, and the client it uses, which the caller closes."""
        observer = self._telemetry.account(account.name)
        client = create_client(account, observer, self._clock)
        note_change = self.publisher.note_change
        return AccountRefresher(account, config, client, observer, note_change, self._clock, self._shard), client

    async def close(self) -> None:
        """End every task and session; nothing is applied after that."""
        async with self._turn:
            self._is_closed = True
            running, self._accounts = list(self._accounts.values()), {}
            await self._end(running)
            await asyncio.gather(*(each.client.close() for each in running))
        if self._publishing is not None:
            await _ended(self._publishing)

    async def _end(self, accounts: Sequence[_Running]) -> None:
        """Have nothing more be read of `accounts`; what was read of them is shown for as long as they are known."""
        self._ending = frozenset(running.task for running in accounts)
        await asyncio.gather(*map(_ended, self._ending))
        self._ending = frozenset()


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; what it ends with is told by what it logged."""
    task.cancel()
    await asyncio.wait({task})


def _settings(account: Account, config: Config) -> tuple[object, ...]:
    return account, config.refresh, config.jobs, config.failures, config.tasks, config.watch
