"""The commands `demo` and `simulate`: the simulated MMS, with or without an exporter."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from exporter.app.service import Service
from exporter.app.serving import WebOptions, listen_error, serve
from exporter.cli import demo_texts
from exporter.config.loading import config_from
from exporter.config.network import ListenAddress
from exporter.config.yaml_files import yaml_text
from exporter.errors import ListenError
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Identity, ScaledClock, Simulator, StoryWorld, World, WorldOptions, story_options
from exporter.simulator.story import STORY_SECONDS

IDENTITY = Identity("LTAI-EXAMPLE", "not-a-secret")
ENDLESS_OFFSET_SECONDS = 86400
"""The endless simulation starts this far in the past."""
_STACK: Final = ("DEMO_PROMETHEUS", "DEMO_ALERTMANAGER")
"""Variables in which `deploy/demo/stack` gives the addresses of the servers that it runs."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Options of the simulated MMS."""

    address: ListenAddress
    scenario: str
    """What is simulated: story or endless."""
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
    _print(yaml_text(demo_texts.configuration(simulator.url, IDENTITY)).rstrip())
    _print(demo_texts.simulating(simulator.url), sys.stderr)
    with _narration(options, simulator.world):
        await stop.wait()
    await simulator.stop()


async def demo(options: SimulatorOptions, web: WebOptions) -> None:
    """Run simulator and exporter until SIGTERM or SIGINT. Raises: ListenError."""
    try:
        await _demo(options, web)
    except ListenError as error:
        raise ListenError(f"{error}, or take any free ports:\n\n  {demo_texts.free_ports_command()}\n") from error


async def _demo(options: SimulatorOptions, web: WebOptions) -> None:
    simulator = await _start_simulator(options)
    raw = demo_texts.configuration(simulator.url, IDENTITY)
    with ExitStack() as stack:

        async def on_listening(urls: list[str]) -> None:
            files = _written(stack, yaml_text(raw), demo_texts.prometheus(urls[0] + web.telemetry_path))
            servers = (os.environ.get(name, "") for name in _STACK)
            addresses = demo_texts.Addresses(urls[0], web.telemetry_path, simulator.url, *servers)
            _print(demo_texts.introduction(options.scenario, options.sources, options.speed))
            _print(demo_texts.hint(addresses, files))
            stack.enter_context(_narration(options, simulator.world))

        try:
            await serve(lambda: config_from(raw), Service(Telemetry()), web, on_listening)
        finally:
            await simulator.stop()


def _written(stack: ExitStack, config: str, prometheus: str) -> demo_texts.DemoFiles | None:
    """Write the files that commands need; None where no folder is writable, as in a container."""
    try:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mms-exporter-demo-")))
        files = demo_texts.DemoFiles(
            folder / "config.yaml", None if _STACK[0] in os.environ else folder / "prometheus.yml"
        )
        files.config.write_text(config, encoding="utf-8")
        if files.prometheus:
            files.prometheus.write_text(prometheus, encoding="utf-8")
    except OSError:
        return None
    return files


@contextmanager
def _narration(options: SimulatorOptions, world: World) -> Iterator[None]:
    task = asyncio.create_task(_print_acts(options, world))
    try:
        yield
    finally:
        task.cancel()


async def _print_acts(options: SimulatorOptions, world: World) -> None:
    if options.scenario != "story" or options.sources != demo_texts.STORY_SOURCES:
        return
    for act in demo_texts.ACTS:
        await asyncio.sleep((60 * act.minute - world.seconds()) / options.speed)
        _print(act.line(options.speed), sys.stderr)


async def _start_simulator(options: SimulatorOptions) -> Simulator:
    simulator = Simulator(create_world(options), identities=[IDENTITY], latency_seconds=options.latency_seconds)
    try:
        await simulator.start(options.address.host or "0.0.0.0", options.address.port)  # noqa: S104 - set by the user
    except OSError as error:
        await simulator.stop()
        raise listen_error(options.address, os.strerror(error.errno or 0), "simulator") from error
    return simulator


def create_world(options: SimulatorOptions) -> World:
    """Return the world of a scenario."""
    # A fast clock starts in the past, because it must not overtake the real one.
    now, hides_stopped = time.time(), options.stopped == "hidden"
    if options.scenario == "story":
        start = now - STORY_SECONDS * (1 - 1 / max(1.0, options.speed))
        chosen = story_options(options.seed, options.sources, hides_stopped=hides_stopped)
        return StoryWorld(chosen, clock=ScaledClock(start, options.speed, limit=time.time))
    chosen = WorldOptions(seed=options.seed, sources=options.sources, hides_stopped=hides_stopped)
    clock = ScaledClock(now - ENDLESS_OFFSET_SECONDS, options.speed, limit=time.time)
    return World(chosen, clock=clock)


def _print(text: str, file: TextIO | None = None) -> None:
    with suppress(OSError):  # the error is reported at exit
        print(text, file=file, flush=True)
