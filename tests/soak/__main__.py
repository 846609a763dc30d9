"""Run the soak for SOAK_SECONDS (3600) with SOAK_SEED (default random, printed); exit code 1 on a finding."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final

from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.oracle import Oracle
from exporter.simulator.world import events
from tests.conftest import IDENTITY
from tests.exposition_parser import Exposition
from tests.harness import harness_on
from tests.processes import Running, serving
from tests.soak.configuration import SETTLED, WORLD, settled, written
from tests.soak.resources import TELLING, ProcessSnapshot, resources_of, tasks_of
from tests.soak.scrapers import Scrapers
from tests.soak.troubles import Troubles
from tests.soak.verdict import differences, leaks, unexpected_lines

WARM_UP_SECONDS: Final = 20.0
MAX_END_SECONDS: Final = 2.0
MAX_OVERHEAD_SECONDS: Final = 600.0
"""Limit of the time beside SOAK_SECONDS; 1 to 3 minutes are usual."""


@dataclass
class Soak:
    """One run."""

    exporter: Running
    simulator: Simulator
    folder: Path
    clock: ManualClock
    lines: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    """Resident bytes, sampled each second."""

    @property
    def pid(self) -> int:
        """The exporter's process id."""
        return self.exporter.process.pid

    def reconfigure(self, kind: str) -> None:
        """Write a configuration and reload it."""
        written(self.folder, self.simulator.url, kind)
        self.exporter.process.send_signal(signal.SIGHUP)

    async def read_log(self) -> None:
        """Collect every log line of the exporter."""
        assert self.exporter.process.stderr is not None
        async for line in self.exporter.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))

    async def watch_memory(self) -> None:
        """Sample the memory of the exporter."""
        while True:
            self.resident.append(resources_of(self.pid).resident_bytes)
            await asyncio.sleep(1)

    async def until_true(self, seconds: float) -> None:
        """Wait until the exporter matches the paused MMS, or report."""
        truth, fresh = self.simulator.world.truth(), await self.fresh_output()
        end, found, pause = time.monotonic() + seconds, ["nothing was compared"], 0.5
        while found and time.monotonic() < end:
            await asyncio.sleep(pause)
            served, started = await self.exporter.metrics(), time.monotonic()
            found = list(differences(served, fresh, truth))
            # The simulator answers nothing during a comparison, so a refresh needs at least as long afterwards.
            pause = max(0.5, 2 * (time.monotonic() - started))
        self.findings += [f"served values differ: {each}" for each in found]

    async def fresh_output(self) -> Exposition:
        """Return a new exporter's output on the same MMS."""
        async with harness_on(settled(self.simulator.url), self.clock) as harness:
            return await harness.refresh()

    async def held(self) -> ProcessSnapshot:
        """Return the exporter's state between two refreshes."""
        async with asyncio.timeout(30):
            while True:
                tasks = await tasks_of(self.pid, self.folder / "tasks.json")
                if not any(name.startswith("refresh") for name in tasks):
                    return ProcessSnapshot(resources_of(self.pid), tasks)
                await asyncio.sleep(0.05)


@asynccontextmanager
async def soak(seed: int) -> AsyncIterator[Soak]:
    """Provide an exporter that has read a simulated MMS."""
    clock = ManualClock()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World(WorldOptions(**{**options_of(WORLD), "seed": seed % 1000}), clock=clock)
        async with Simulator(world, identities=[IDENTITY]) as simulator:
            file = written(folder, simulator.url)
            variables = {"TASKS_FILE": str(folder / "tasks.json")}
            async with serving(f"--config.file={file}", program=("-c", TELLING), environment=variables) as exporter:
                run = Soak(exporter, simulator, folder, clock, list(exporter.lines))
                reading = asyncio.create_task(run.read_log())
                await exporter.until_ready()
                yield run
                with suppress(asyncio.CancelledError):
                    await reading


def options_of(options: WorldOptions) -> dict[str, Any]:
    """Return the options of a world by name."""
    return {name: getattr(options, name) for name in options.__slots__}


async def disturb(run: Soak, rng: Random, seconds: float) -> None:
    """Cause faults and scrape for a while, and print counts."""
    troubles = Troubles(run.simulator, run.clock, Random(rng.random()), run.reconfigure)
    scrapers = Scrapers(run.exporter.urls[0], Random(rng.random()))
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for work in (troubles.run(), scrapers.run(), run.watch_memory()):
                group.create_task(work)
    print(f"troubles: {dict(sorted(troubles.counts.items()))}")
    print(f"scrapers: {dict(sorted(scrapers.counts.items()))}")


async def settle(run: Soak) -> None:
    """End all faults, complete all failures, fail some units again.

    A failure that moves to another unit between two refreshes, with an equal count, goes unnoticed by design, so
    none may be left.
    """
    world = run.simulator.world
    run.simulator.faults.clear()
    run.simulator.identities.add(IDENTITY)
    run.reconfigure(SETTLED)
    for source_id in world.source_ids():
        apply_event(world, completion(world.truth(), source_id))
        # A wrong number of outdated partitions stays until a scan ends.
        apply_event(world, events.ScanMetadata(source_id=source_id, seconds=0))
    await run.until_true(seconds=30)
    for source_id in world.source_ids():
        apply_event(world, events.Fail(source_id=source_id, share=0.02))
    await run.until_true(seconds=30)


def completion(truth: Oracle, source_id: int) -> events.Succeed:
    """Return the event that completes all failures of a source."""
    tables = tuple(each.id for each in truth.tables(source_id) if each.status == "FAILED")
    partitions = tuple(each.id for each in truth.partitions(source_id) if each.status == "FAILED")
    return events.Succeed(source_id=source_id, table_ids=tables, partition_ids=partitions)


def judge(run: Soak, before: ProcessSnapshot, after: ProcessSnapshot) -> None:
    """Report what leaked since the start."""
    print(f"before: {before}")
    print(f"after:  {after}")
    steps = run.resident[:: max(1, len(run.resident) // 10)]
    print(f"memory: {', '.join(f'{each / 2**20:.0f}' for each in steps)}, at most {max(run.resident) / 2**20:.0f} MiB")
    run.findings += leaks(before, after, run.resident)


async def end(run: Soak) -> None:
    """Stop the exporter, and report an unclean end."""
    started = time.monotonic()
    run.exporter.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        code = await run.exporter.process.wait()
    took = time.monotonic() - started
    print(f"stopped after {took:.2f} s")
    run.findings += [f"exit code {code}, expected 0"] if code else []
    run.findings += [f"the shutdown took {took:.1f} s"] if took > MAX_END_SECONDS else []


async def main() -> int:
    """Run the soak and return the exit code."""
    seconds = float(os.environ.get("SOAK_SECONDS", "3600"))
    seed = int(os.environ.get("SOAK_SEED") or SystemRandom().randrange(1_000_000))
    print(f"soak of {seconds:g} s, SOAK_SEED={seed}", flush=True)
    rng = Random(seed)
    async with asyncio.timeout(seconds + MAX_OVERHEAD_SECONDS), soak(seed) as run:
        await disturb(run, rng, WARM_UP_SECONDS)
        await settle(run)
        before = await run.held()
        await disturb(run, rng, seconds)
        await settle(run)
        judge(run, before, await run.held())
        await end(run)
    run.findings += [f"unexpected log line: {line}" for line in unexpected_lines(run.lines)]
    print(f"{len(run.lines)} log lines; {len(run.findings)} findings")
    print("\n".join(run.findings[:50]))
    return bool(run.findings)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
