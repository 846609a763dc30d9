"""A refresher of one account on a simulated MMS, with parsed results."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from exporter.clock import Clock
from exporter.collect.refresh import AccountRefresher
from exporter.collect.snapshot import Snapshot
from exporter.config.loading import Config
from exporter.exposition.publisher import Publisher
from exporter.exposition.telemetry import Telemetry
from exporter.mms.client import Client, create_client
from exporter.sharding import UNSHARDED, Shard
from tests.exposition_parser import Exposition, read

LIMIT_SECONDS: Final = 120.0
"""Limit of each wait for an event; long, because the machine may be busy."""


async def no_sleep(_: float) -> None:
    """Yield without waiting, so that retries take no time in tests."""
    await asyncio.sleep(0)


async def eventually(condition: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> None:
    """Poll until `condition`; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


@dataclass
class Harness:
    """A refresher and the publisher of its snapshots."""

    refresher: AccountRefresher
    publisher: Publisher
    telemetry: Telemetry
    clock: Callable[[], float]
    client: Client
    changes: list[None] = field(default_factory=list)

    async def refresh(self) -> Exposition:
        """Refresh once and return the exposition."""
        await self.refresher.refresh()
        return await self.served()

    async def served(self) -> Exposition:
        """Return the current exposition."""
        await self.publisher.publish()
        return read(self.publisher.body("text", gzip=False))


@asynccontextmanager
async def harness_on(
    config: Config, clock: Callable[[], float], shard: Shard = UNSHARDED, wall: Callable[[], float] | None = None
) -> AsyncIterator[Harness]:
    """Provide a harness of the first account of `config`.

    `clock` is its monotonic clock, and also its wall clock unless `wall` is given. Retries never wait.
    """
    account = config.accounts[0]
    telemetry = Telemetry(with_process=False)
    observer = telemetry.account(account.name)
    ticks = Clock(wall=wall or clock, monotonic=clock, sleep=no_sleep)
    signing = Clock(sleep=no_sleep)
    changes: list[None] = []
    async with create_client(account, observer, signing) as client:
        refresher = AccountRefresher(account, config, client, observer, lambda: changes.append(None), ticks, shard)
        publisher = Publisher(lambda: Snapshot((refresher.snapshot(),)), telemetry)
        yield Harness(refresher, publisher, telemetry, clock, client, changes)
