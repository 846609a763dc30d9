"""The running exporter: one refresh task per account, and one publisher for all.

Owns the lifecycle of tasks and clients, readiness and health. Knows no HTTP.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from msgspec import structs

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.collect.refresh import AccountRefresher
from exporter.collect.snapshot import Snapshot
from exporter.config.loading import Account, Config
from exporter.exposition.publisher import Publisher
from exporter.exposition.telemetry import Telemetry
from exporter.mms.client import Client, create_client
from exporter.sharding import UNSHARDED, Shard
from exporter.web.status.status_report import Load, StatusInput

MAX_START_SPREAD_SECONDS: Final = 0.2
"""Maximum delay between the first refreshes of two accounts."""


@dataclass(frozen=True, slots=True)
class _RunningAccount:
    """A configured account and its refresh task."""

    account: Account
    settings: tuple[object, ...]
    """The settings that the task depends on; a reload with the same settings keeps the task."""
    client: Client
    refresher: AccountRefresher
    task: asyncio.Task[None]


class Service:
    """Runs the refresh tasks and the publisher."""

    def __init__(self, telemetry: Telemetry, clock: Clock = SYSTEM_CLOCK, shard: Shard = UNSHARDED) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._shard = shard
        telemetry.note_shard(shard)
        self._accounts: dict[str, _RunningAccount] = {}
        self._stopping: frozenset[asyncio.Task[None]] = frozenset()
        """Tasks being stopped; the health check ignores them."""
        self.publisher = Publisher(self.snapshot, telemetry, clock)
        self._publish_task: asyncio.Task[None] | None = None
        self._started_at = clock.wall()
        self._load = Load()
        self._lock = asyncio.Lock()
        self._is_closed = False

    def snapshot(self) -> Snapshot:
        """Return the current values of all refreshed accounts."""
        refreshers = (running.refresher for running in self._accounts.values())
        return Snapshot(tuple(each.snapshot() for each in refreshers if each.has_result))

    def status_input(self) -> StatusInput:
        """Return the published snapshot and the state of the exporter."""
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
        """The accounts without a published complete refresh."""
        snapshot = self.publisher.publication.snapshot
        published = {account.account for account in snapshot.accounts if account.is_complete}
        return [name for name in self._accounts if name not in published]

    @property
    def is_ready(self) -> bool:
        """Whether every account has a published refresh, successful or not."""
        return not self.awaited_accounts

    @property
    def is_healthy(self) -> bool:
        """Whether every background task runs."""
        tasks = [running.task for running in self._accounts.values() if running.task not in self._stopping]
        return not any(task.done() for task in (*tasks, self._publish_task) if task is not None)

    async def apply(self, config: Config) -> None:
        """Run the accounts of `config`; unchanged accounts keep their task."""
        # Shielded from cancellation of the caller, because a half-stopped account would leak its task and client.
        applying = asyncio.create_task(self._apply(config), name="apply")
        try:
            await asyncio.shield(applying)
        except asyncio.CancelledError:
            await asyncio.wait({applying})
            raise

    async def _apply(self, config: Config) -> None:
        async with self._lock:
            if not self._is_closed:
                await self._replace_accounts(config)
                self.set_load_status(at=self._clock.wall(), is_current=True, problems=())
                self.publisher.note_change()

    async def _replace_accounts(self, config: Config) -> None:
        previous = self._accounts
        kept = {each.name: previous[each.name] for each in config.accounts if self._is_unchanged(each, config)}
        added = {each.name: self.refresher(each, config) for each in config.accounts if each.name not in kept}
        replaced = [running for name, running in previous.items() if name not in kept]
        await self._stop(replaced)
        # No await until the swap: a snapshot has either the previous accounts or the new ones.
        self._accounts = {
            each.name: kept.get(each.name) or self._start(each, config, index, *added[each.name])
            for index, each in enumerate(config.accounts)
        }
        for running in kept.values():
            running.refresher.note_reload()
        for name in previous.keys() - self._accounts.keys():
            self._telemetry.forget_account(name)
        if self._publish_task is None:
            self._publish_task = asyncio.create_task(self.publisher.run(), name="publish")
        await asyncio.gather(*(running.client.close() for running in replaced))

    def _is_unchanged(self, account: Account, config: Config) -> bool:
        running = self._accounts.get(account.name)
        return running is not None and running.settings == _settings(account, config)

    def set_load_status(self, **changes: Any) -> None:
        """Update the status of the last load."""
        self._load = replace(self._load, **changes)
        is_current = self._load.is_current and self._load.is_web_current
        self._telemetry.note_load(self._load.at, is_current=is_current)

    def set_web_load_status(self, succeeded: bool) -> None:  # noqa: FBT001 - called by the watcher
        """Update the status of the last web configuration load."""
        self.set_load_status(is_web_current=succeeded)

    def _start(
        self, account: Account, config: Config, index: int, refresher: AccountRefresher, client: Client
    ) -> _RunningAccount:
        previous = self._accounts.get(account.name)
        if previous is not None and previous.account.has_same_endpoint(account):
            refresher.inherit_from(previous.refresher)
            client.inherit_from(previous.client)
        share = index / len(config.accounts)
        delay = min(index * MAX_START_SPREAD_SECONDS, share * config.refresh.interval)
        task = asyncio.create_task(refresher.run(delay, share), name=f"account {account.name}")
        return _RunningAccount(account, _settings(account, config), client, refresher, task)

    def refresher(self, account: Account, config: Config) -> tuple[AccountRefresher, Client]:
        """Return a refresher and its client, which the caller closes."""
        observer = self._telemetry.account(account.name)
        client = create_client(account, observer, self._clock)
        note_change = self.publisher.note_change
        return AccountRefresher(account, config, client, observer, note_change, self._clock, self._shard), client

    async def close(self) -> None:
        """Stop all tasks and clients; later `apply` calls do nothing."""
        async with self._lock:
            self._is_closed = True
            running, self._accounts = list(self._accounts.values()), {}
            await self._stop(running)
            await asyncio.gather(*(each.client.close() for each in running))
        if self._publish_task is not None:
            await _cancel(self._publish_task)

    async def _stop(self, accounts: Sequence[_RunningAccount]) -> None:
        self._stopping = frozenset(running.task for running in accounts)
        await asyncio.gather(*map(_cancel, self._stopping))
        self._stopping = frozenset()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})  # raises nothing: the task has logged its error


def _settings(account: Account, config: Config) -> tuple[object, ...]:
    return account, structs.replace(config, accounts=())


async def refresh_once(config: Config, shard: Shard = UNSHARDED) -> tuple[bytes, bool]:
    """Refresh every account once; return the exposition and the success."""
    # Process metrics are left out: node_exporter reads the file and has some of the same names.
    telemetry = Telemetry(with_process=False)
    service = Service(telemetry, shard=shard)
    pairs = [service.refresher(account, config) for account in config.accounts]
    try:
        await asyncio.gather(*(refresher.refresh() for refresher, _ in pairs))
        snapshot = Snapshot(tuple(refresher.snapshot() for refresher, _ in pairs))
    finally:
        await asyncio.gather(*(client.close() for _, client in pairs))
    telemetry.note_load(SYSTEM_CLOCK.wall(), is_current=True)
    publisher = Publisher(lambda: snapshot, telemetry)
    await publisher.publish()
    collectors = [collector for account in snapshot.accounts for collector in account.collectors]
    return publisher.body("text", gzip=False), all(collector.success for collector in collectors)
