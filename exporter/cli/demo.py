"""The simulated MMS, alone or with an exporter on it: what `demo` and `simulate` run."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from exporter.app.service import Service
from exporter.app.serving import WebOptions, serve
from exporter.config.loading import Config, config_from
from exporter.errors import ListenError
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Identity, ScaledClock, Simulator, World, WorldOptions
from exporter.web.addresses import ListenAddress

IDENTITY = Identity("LTAI-EXAMPLE", "not-a-secret")
HEAD_START_SECONDS = 86400
"""How far in the past the story begins, so that its times do not lie ahead of a watcher's clock from the start."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """How a simulated MMS is set up."""

    address: ListenAddress
    seed: int
    speed: float
    """Simulated seconds in a second."""
    sources: int
    latency_seconds: float


async def simulate(options: SimulatorOptions) -> None:
    """Run the simulated MMS until SIGTERM or SIGINT. Raises: ListenError."""
    simulator = await _started(options)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _say(_account_hint(simulator.url))
    await stop.wait()
    await simulator.stop()


async def demo(options: SimulatorOptions, web: WebOptions) -> None:
    """Run the simulated MMS and an exporter on it until SIGTERM or SIGINT. Raises: ListenError."""
    simulator = await _started(options)

    async def listening(urls: list[str]) -> None:
        _say(_greeting(urls[0], web.telemetry_path, simulator.url, options))

    try:
        await serve(lambda: _config(simulator.url), Service(Telemetry()), web, listening)
    finally:
        await simulator.stop()


async def _started(options: SimulatorOptions) -> Simulator:
    world = World(
        WorldOptions(seed=options.seed, sources=options.sources),
        clock=ScaledClock(time.time() - HEAD_START_SECONDS, options.speed),
    )
    simulator = Simulator(world, identities=[IDENTITY], latency_seconds=options.latency_seconds)
    try:
        await simulator.start(options.address.host or "0.0.0.0", options.address.port)  # noqa: S104 - asked for
    except OSError as error:
        await simulator.stop()
        raise ListenError(f"cannot listen on {options.address}: {os.strerror(error.errno or 0)}") from error
    return simulator


def _config(url: str) -> Config:
    """Return the configuration for the simulated MMS, which may be asked often."""
    return config_from(
        {
            "accounts": [
                {
                    "name": "demo",
                    "region": "cn-shanghai",
                    "endpoint": url,
                    "rate_limit": 0,
                    "credentials": {
                        "type": "access_key",
                        "access_key_id": IDENTITY.access_key_id,
                        "access_key_secret": IDENTITY.access_key_secret,
                    },
                },
            ],
            "refresh": {"interval": "5s", "stale_after": "1m"},
            "jobs": {"linger": "2m", "idle_interval": "1m"},
        },
    )


def _say(text: str) -> None:
    """Print a text; that it cannot be written ends nothing, and is said at the end."""
    with suppress(OSError):
        print(text, flush=True)


def _greeting(url: str, telemetry_path: str, simulator_url: str, options: SimulatorOptions) -> str:
    host_port = url.partition("://")[2]
    return f"""
A simulated migration of {options.sources} data sources runs at {options.speed:g} times real speed.

  Metrics        {url}{telemetry_path}
  Status page    {url}/
  Simulated MMS  {simulator_url}

To scrape it with Prometheus, add this to scrape_configs:

  - job_name: mms-exporter
    scrape_interval: 5s
    metrics_path: {telemetry_path}
    static_configs: [{{targets: ["{host_port}"]}}]

The rules are in deploy/prometheus/rules, the Grafana dashboards in grafana/dashboards.

Press Ctrl-C to stop both.
"""


def _account_hint(url: str) -> str:
    return f"""
The simulated MMS listens on {url}. Use this account in the configuration of the exporter:

accounts:
  - name: simulated
    region: cn-shanghai
    endpoint: {url}
    rate_limit: 100
    credentials:
      type: access_key
      access_key_id: {IDENTITY.access_key_id}
      access_key_secret: {IDENTITY.access_key_secret}

Press Ctrl-C to stop it.
"""
