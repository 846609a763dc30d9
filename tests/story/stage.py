"""Starts all parts of a story: two accounts, the exporter, Prometheus, Alertmanager and its receiver."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout

from tests.processes import Running, serving
from tests.story.alertmanager_receiver import AlertmanagerReceiver, running_receiver
from tests.story.servers import Alertmanager, Prometheus, reserved_port, running_alertmanager, running_prometheus
from tests.story.time_scale import stretched
from tests.story.worlds import Account, accounts

MAX_SERIES = 2
"""Limit of exported jobs per source, low enough to be exceeded by few jobs."""


def configuration(prod: Account, lab: Account) -> str:
    """Return the exporter's configuration with the shortest interval."""
    entries = "".join(
        f"""
  - name: {account.name}
    region: cn-shanghai
    endpoint: {account.simulator.url}
    rate_limit: 200
    credentials: {{type: access_key, access_key_id: LTAI-EXAMPLE, access_key_secret: not-a-secret}}"""
        for account in (prod, lab)
    )
    source_id, partition_id = prod.partition_shared_with(lab)
    return f"""accounts:{entries}
refresh: {{interval: {stretched(1)}, stale_after: {stretched(5)}}}
jobs: {{max_series_per_source: {MAX_SERIES}, linger: {stretched(10)}, idle_interval: {stretched(5)}}}
failures: {{max_per_source: 1000}}
tasks: {{enabled: true}}
watch:
  tables: [{{source_id: {source_id}, table_ids: [1]}}]
  partitions: [{{source_id: {source_id}, partition_ids: [{partition_id}]}}]
"""


class Exporter:
    """The exporter as a process on a fixed port."""

    def __init__(self, port: int, file: Path) -> None:
        self.port = port
        self.file = file
        self._running: Running | None = None
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        arguments = [f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-lifecycle"]
        arguments += [f"--config.file={self.file}"]
        self._running = await self._stack.enter_async_context(serving(*arguments))
        await self._running.until_ready()

    async def kill(self) -> None:
        """Kill it with SIGKILL."""
        assert self._running is not None
        await self._running.end(signal.SIGKILL)
        await self._stack.aclose()

    async def reload(self, session: ClientSession) -> int:
        """Reload its configuration, and return the response status."""
        async with session.post(f"http://127.0.0.1:{self.port}/-/reload") as response:
            return response.status

    async def close(self) -> None:
        """Stop it, if it runs."""
        await self._stack.aclose()


@dataclass
class Stage:
    """All running parts of a story."""

    prod: Account
    lab: Account
    exporters: Sequence[Exporter]
    """Replicas: all have the same configuration."""
    prometheus: Prometheus
    alertmanager: Alertmanager
    receiver: AlertmanagerReceiver
    session: ClientSession
    start: float = field(default_factory=time.time)
    """In Unix seconds."""

    @property
    def exporter(self) -> Exporter:
        """Return the first replica."""
        return self.exporters[0]


@asynccontextmanager
async def staged(
    folder: Path,
    *,
    server: str = "PROMETHEUS",
    day_factor: int = 1,
    hides_stopped: bool = False,
    replicas: int = 1,
) -> AsyncIterator[Stage]:
    """Start all parts.

    `server` names the Prometheus in tests.programs, `day_factor` is that of the rules, `hides_stopped` that of the
    accounts.
    """
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(30)))
        prod, lab = accounts(hides_stopped=hides_stopped)
        for account in (prod, lab):
            await stack.enter_async_context(account.simulator)
        file = folder / "config.yaml"
        file.write_text(configuration(prod, lab))
        exporters = [Exporter(stack.enter_context(reserved_port()), file) for _ in range(replicas)]
        for exporter in exporters:
            stack.push_async_callback(exporter.close)
        receiver = await stack.enter_async_context(running_receiver())
        alertmanager, _ = await asyncio.gather(
            stack.enter_async_context(running_alertmanager(receiver.url, folder, session)),
            asyncio.gather(*(exporter.start() for exporter in exporters)),
        )
        ports = [exporter.port for exporter in exporters]
        watching = running_prometheus(ports, alertmanager, folder, session, server=server, day_factor=day_factor)
        prometheus = await stack.enter_async_context(watching)
        yield Stage(prod, lab, exporters, prometheus, alertmanager, receiver, session)
