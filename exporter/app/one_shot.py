"""One refresh of everything, for cron and node_exporter's textfile collector."""

import asyncio

from exporter.app.service import Service
from exporter.clock import SYSTEM_CLOCK
from exporter.collect.snapshot import Snapshot
from exporter.config.loading import Config
from exporter.exposition.publisher import Publisher
from exporter.exposition.telemetry import Telemetry
from exporter.sharding import UNSHARDED, Shard


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
