"""One refresh of everything, for cron and node_exporter's textfile collector."""

import asyncio
import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from exporter.clock import SYSTEM_CLOCK
from exporter.collect.snapshot import Snapshot
from exporter.config import Config
from exporter.exposition.publisher import Publisher
from exporter.exposition.telemetry import Telemetry
from exporter.sharding import WHOLE, Shard
from exporter.web.service import Service


async def refresh_once(config: Config, shard: Shard = WHOLE) -> tuple[bytes, bool]:
    """Return the exposition after one refresh of every account, and whether nothing failed.

    The process's own series are left out: node_exporter, which reads the file, has some of the same names.
    """
    telemetry = Telemetry(with_process=False)
    service = Service(telemetry, shard=shard)
    pairs = [service.refresher(account, config) for account in config.accounts]
    try:
        await asyncio.gather(*(refresher.refresh() for refresher, _ in pairs))
        snapshot = Snapshot(tuple(refresher.snapshot() for refresher, _ in pairs))
    finally:
        await asyncio.gather(*(client.close() for _, client in pairs))
    telemetry.note_load(SYSTEM_CLOCK.wall())
    publisher = Publisher(lambda: snapshot, telemetry)
    await publisher.publish()
    collectors = [collector for account in snapshot.accounts for collector in account.collectors]
    return publisher.body("text", gzip=False), all(collector.success for collector in collectors)


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` in the place of a file: a reader sees the old one or the new one, whole. A link is followed.

    Raises: OSError, also for what is there and is no regular file.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is there, and is no regular file")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
