"""The commands `demo` and `simulate`: the simulated MMS, with or without an exporter."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from exporter.app.service import Service
from exporter.app.serving import WebOptions, listen_error, serve
from exporter.config.loading import Config, config_from
from exporter.config.network import ListenAddress
from exporter.errors import ListenError
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Identity, ScaledClock, Simulator, World, WorldOptions

IDENTITY = Identity("LTAI-EXAMPLE", "not-a-secret")
FREE_PORTS_COMMAND = "mms-exporter demo --web.listen-address=127.0.0.1:0 --simulator.listen-address=127.0.0.1:0"
START_OFFSET_SECONDS = 86400
"""The simulation starts this far in the past, so that its times are not in the future at first."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Options of the simulated MMS."""

    address: ListenAddress
    seed: int
    speed: float
    """Simulated seconds per real second."""
    sources: int
    latency_seconds: float
    stopped: str
    """Whether lists by status have stopped jobs and tasks: listed or hidden."""


async def simulate(options: SimulatorOptions) -> None:
    """Run the simulated MMS until SIGTERM or SIGINT. Raises: ListenError."""
    simulator = await _start_simulator(options)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _print(_account_hint(simulator.url))
    await stop.wait()
    await simulator.stop()


async def demo(options: SimulatorOptions, web: WebOptions) -> None:
    """Run simulator and exporter until SIGTERM or SIGINT. Raises: ListenError."""
    try:
        await _demo(options, web)
    except ListenError as error:
        raise ListenError(f"{error}, or take any free ports:\n\n  {FREE_PORTS_COMMAND}\n") from error


async def _demo(options: SimulatorOptions, web: WebOptions) -> None:
    simulator = await _start_simulator(options)

    async def on_listening(urls: list[str]) -> None:
        _print(_demo_hint(urls[0], web.telemetry_path, simulator.url, options))

    try:
        await serve(lambda: _config(simulator.url), Service(Telemetry()), web, on_listening)
    finally:
        await simulator.stop()


async def _start_simulator(options: SimulatorOptions) -> Simulator:
    world = World(
        WorldOptions(seed=options.seed, sources=options.sources, hides_stopped=options.stopped == "hidden"),
        clock=ScaledClock(time.time() - START_OFFSET_SECONDS, options.speed),
    )
    simulator = Simulator(world, identities=[IDENTITY], latency_seconds=options.latency_seconds)
    try:
        await simulator.start(options.address.host or "0.0.0.0", options.address.port)  # noqa: S104 - set by the user
    except OSError as error:
        await simulator.stop()
        raise listen_error(options.address, os.strerror(error.errno or 0), "simulator") from error
    return simulator


def _config(url: str) -> Config:
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


def _print(text: str) -> None:
    with suppress(OSError):  # the error is reported at exit
        print(text, flush=True)


def _demo_hint(url: str, telemetry_path: str, simulator_url: str, options: SimulatorOptions) -> str:
    parts = urlsplit(url)
    return f"""
A simulated migration of {options.sources} data sources runs at {options.speed:g} times real speed.

  Metrics        {url}{telemetry_path}
  Status page    {url}/
  Simulated MMS  {simulator_url}

To scrape it with Prometheus, add this to scrape_configs:

  - job_name: mms-exporter
    scrape_interval: 5s
    metrics_path: {parts.path}{telemetry_path}
    static_configs: [{{targets: ["{parts.netloc}"]}}]

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
