"""Runs the soak: SOAK_SECONDS long (3600), with the dice of SOAK_SEED (drawn, and printed); 1 on a finding."""

import asyncio
import json
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
from statistics import median
from typing import Any, Final

from exporter.simulator import ManualClock, Simulator, World, WorldOptions, events, happen
from tests.conftest import IDENTITY, account_on
from tests.processes import Running, serving
from tests.soak.resources import TELLING, Resources, resources_of, tasks_of
from tests.soak.scrapers import Scrapers
from tests.soak.troubles import FIRST, Troubles
from tests.soak.verdict import differences, unexpected_lines

WORLD: Final = WorldOptions(
    sources=5,
    databases=2,
    tables=6,
    partitions=4,
    finished_jobs_per_source=95,  # they grow beyond one page
    job_seconds=600.0,
    special_sources=False,
)
SETTINGS: Final[dict[str, Any]] = {
    "refresh": {"interval": "1s", "stale_after": "8s"},
    "jobs": {"linger": "5s", "idle_interval": "3s"},
    "failures": {"max_per_source": 10_000},
    "tasks": {"enabled": True},
    "watch": {"tables": [{"source_id": FIRST, "table_ids": [1, 2]}]},
}
WARM_UP_SECONDS: Final = 20.0
MAX_GROWTH_BYTES: Final = 24 * 2**20
"""Of resident memory, from the second quarter of the run to its last: what large answers need comes before."""
CONNECTIONS_PER_ACCOUNT: Final = 8
MAX_END_SECONDS: Final = 2.0


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
    """Bytes, once a second."""

    @property
    def pid(self) -> int:
        """The exporter's."""
        return self.exporter.process.pid

    def reconfigure(self, kind: str) -> None:
        """Write a configuration and have it loaded."""
        write_configuration(self.folder, self.simulator.url, kind)
        self.exporter.process.send_signal(signal.SIGHUP)

    async def read_log(self) -> None:
        """Keep every line that the exporter logs."""
        assert self.exporter.process.stderr is not None
        async for line in self.exporter.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))

    async def watch_memory(self) -> None:
        """Note the memory that the exporter holds."""
        while True:
            self.resident.append(resources_of(self.pid).resident_bytes)
            await asyncio.sleep(1)

    async def until_true(self, seconds: float) -> None:
        """Wait until what is served equals the simulated MMS, which stands still; else it is a finding."""
        truth, end, found = self.simulator.world.truth(), time.monotonic() + seconds, ["nothing was compared"]
        while found and time.monotonic() < end:
            await asyncio.sleep(0.5)
            found = list(differences(await self.exporter.metrics(), truth))
        self.findings += [f"figures are not the simulator's: {each}" for each in found]

    async def held(self) -> tuple[Resources, dict[str, int]]:
        """Return what the exporter holds between two refreshes, and its tasks."""
        async with asyncio.timeout(30):
            while True:
                tasks = await tasks_of(self.pid, self.folder / "tasks.json")
                if not any(name.startswith("refresh") for name in tasks):
                    return resources_of(self.pid), dict(tasks)
                await asyncio.sleep(0.05)


def write_configuration(folder: Path, url: str, kind: str = "plain") -> Path:
    """Write a configuration of a kind that Troubles knows, and return its file."""
    names = {"broken": [], "two accounts": ["test", "other"]}.get(kind, ["test"])
    accounts = [account_on(url, name, timeout="500ms", concurrency=CONNECTIONS_PER_ACCOUNT) for name in names]
    pace = {"refresh": {"interval": "2s", "stale_after": "8s"}} if kind == "other pace" else {}
    file = folder / "config.yaml"
    file.with_suffix(".new").write_text(json.dumps({"accounts": accounts, **SETTINGS, **pace}), encoding="utf-8")
    return file.with_suffix(".new").replace(file)


@asynccontextmanager
async def soak(seed: int) -> AsyncIterator[Soak]:
    """Provide an exporter on a simulated MMS, read once."""
    clock = ManualClock()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = World(WorldOptions(**{**options_of(WORLD), "seed": seed % 1000}), clock=clock)
        async with Simulator(world, identities=[IDENTITY]) as simulator:
            file = write_configuration(folder, simulator.url)
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


async def stir(run: Soak, dice: Random, seconds: float) -> None:
    """Make trouble and scrape for a while, and print what there was."""
    troubles = Troubles(run.simulator, run.clock, Random(dice.random()), run.reconfigure)
    scrapers = Scrapers(run.exporter.urls[0], Random(dice.random()))
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for work in (troubles.run(), scrapers.run(), run.watch_memory()):
                group.create_task(work)
    print(f"troubles: {dict(sorted(troubles.counts.items()))}")
    print(f"scrapers: {dict(sorted(scrapers.counts.items()))}")


async def calm(run: Soak) -> None:
    """End all trouble, and have what failed be counted anew, so that its names are read."""
    run.simulator.faults.clear()
    run.simulator.identities.add(IDENTITY)
    for source_id in run.simulator.world.source_ids():
        happen(run.simulator.world, events.Fail(source_id=source_id, share=0.02))
    run.reconfigure("plain")
    await run.until_true(seconds=30)


def judge(run: Soak, before: tuple[Resources, dict[str, int]], after: tuple[Resources, dict[str, int]]) -> None:
    """Note what the exporter holds at the end that it did not hold before."""
    (held, tasks), (holds, tasks_now) = before, after
    print(f"before: {held}, tasks {tasks}")
    print(f"after:  {holds}, tasks {tasks_now}")
    steps = run.resident[:: max(1, len(run.resident) // 10)]
    print(f"memory: {', '.join(f'{each / 2**20:.0f}' for each in steps)}, at most {max(run.resident) / 2**20:.0f} MiB")
    claims = {
        "threads leaked": holds.threads <= held.threads,
        "files leaked": holds.files <= held.files,
        "sockets leaked": holds.sockets <= held.sockets + CONNECTIONS_PER_ACCOUNT,
        "memory grew": grown_bytes(run.resident) < MAX_GROWTH_BYTES,
        "tasks leaked": tasks_now == tasks,
    }
    run.findings += [finding for finding, is_fine in claims.items() if not is_fine]


async def end(run: Soak) -> None:
    """End the exporter, and note where that is not as it should be."""
    started = time.monotonic()
    run.exporter.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        code = await run.exporter.process.wait()
    took = time.monotonic() - started
    print(f"ended after {took:.2f} s")
    run.findings += [f"it ended with {code}"] if code else []
    run.findings += [f"it took {took:.1f} s to end"] if took > MAX_END_SECONDS else []


def grown_bytes(resident: list[int]) -> float:
    """Return by how much more is held in the last quarter than in the second, by their medians."""
    quarter = max(1, len(resident) // 4)
    return median(resident[-quarter:]) - median(resident[quarter : 2 * quarter] or resident)


async def main() -> int:
    """Run the soak and return the exit code."""
    seconds = float(os.environ.get("SOAK_SECONDS", "3600"))
    seed = int(os.environ.get("SOAK_SEED") or SystemRandom().randrange(1_000_000))
    print(f"soak of {seconds:g} s, SOAK_SEED={seed}", flush=True)
    dice = Random(seed)
    async with soak(seed) as run:
        await stir(run, dice, WARM_UP_SECONDS)
        await calm(run)
        before = await run.held()
        await stir(run, dice, seconds)
        await calm(run)
        judge(run, before, await run.held())
        await end(run)
    run.findings += [f"unexpected log line: {line}" for line in unexpected_lines(run.lines)]
    print(f"{len(run.lines)} log lines; {len(run.findings)} findings")
    print("\n".join(run.findings[:50]))
    return bool(run.findings)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
