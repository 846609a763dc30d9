"""Measures, prints one table, and writes it to benchmarks/results.json: `make bench`.

Each figure is a median, and what it is compared with was measured beside it, in turns: machines differ, and are shared.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from benchmarks.worlds import changed, registry, snapshot
from exporter.exposition.publisher import Publisher
from exporter.exposition.rendering import Renderer
from exporter.exposition.telemetry import Telemetry
from exporter.exposition.text import Format
from exporter.simulator import Identity, ScaledClock, Simulator, World
from exporter.web.editions import Document
from exporter.web.page import page
from exporter.web.status import Load, Situation

SOURCES = 1000
ROUNDS = 7
RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    seconds: float
    beside: str = ""
    beside_seconds: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as fast as what stands beside it."""
        return None if self.beside_seconds is None else self.beside_seconds / self.seconds


def timed(*works: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return the median seconds of each of `works`, run in turns."""
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for seconds, work in zip(spent, works, strict=True):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
    return [statistics.median(each) for each in spent]


async def scrapes() -> list[Figure]:
    """Return what handing out a page costs, beside rendering it at each scrape."""
    held = snapshot(SOURCES)
    publisher = Publisher(lambda: held, Telemetry())
    await publisher.publish()
    peer = registry(held)
    figures = []
    peers: dict[Format, Callable[[CollectorRegistry], bytes]] = {
        "text": generate_latest,
        "openmetrics": generate_openmetrics,
    }
    for text_format, render in peers.items():
        for gzip in (False, True):
            ours, theirs = timed(partial(publisher.body, text_format, gzip=gzip), partial(render, peer))
            name = f"scrape, {text_format}, {'gzip' if gzip else 'plain'}"
            figures.append(Figure(name, ours, "prometheus_client, plain", theirs))
    return figures


def renderings() -> list[Figure]:
    """Return what a new page costs, whole and after a small change."""
    held = snapshot(SOURCES)
    moved, peer = changed(held, 0.01), registry(held)
    renderer = Renderer()
    renderer.render(held)
    states = [held, moved]

    def next_state() -> None:
        states.reverse()
        renderer.render(states[0])

    whole, theirs, part = timed(lambda: Renderer().render(held), lambda: generate_latest(peer), next_state)
    return [
        Figure("rendering, whole, both formats, compressed", whole, "prometheus_client, one format, plain", theirs),
        Figure("rendering, 1 % of the sources changed", part, "rendering, whole", whole),
    ]


async def status_pages() -> list[Figure]:
    """Return what the status page costs when it is asked for first, and again, beside rendering the metrics."""
    held = snapshot(SOURCES)
    number = count()

    def situation() -> Situation:
        return Situation(held, next(number), 1.75e9, 1.75e9, Load(1.75e9, is_current=True), ())

    same = situation()
    figures = []
    for name, render in (("page", partial(page, telemetry_path="/metrics")), ("JSON", msgspec.json.encode)):
        anew, again = Document(situation, render), Document(lambda: same, render)
        await again.current()
        first, whole = await timed_async(anew), timed(lambda: Renderer().render(held))[0]
        figures.append(Figure(f"status {name}, once a publication", first, "rendering, whole", whole))
        figures.append(Figure(f"status {name}, from then on", await timed_async(again)))
    return figures


async def timed_async(document: Document) -> float:
    """Return the median seconds until a document is there."""
    spent: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await document.current()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


async def starts() -> list[Figure]:
    """Return how long it takes from the command to its answer."""
    world = World(clock=ScaledClock(time.time(), 60))
    identity = Identity("LTAI-EXAMPLE", "not-a-secret")
    with tempfile.TemporaryDirectory() as folder:
        async with Simulator(world, identities=[identity]) as simulator:
            config = _config(Path(folder), simulator.url)
            spent = [await _first_page(config) for _ in range(ROUNDS)]
    (version,) = timed(lambda: subprocess.run([sys.executable, "-m", "exporter", "--version"], check=True, stdout=-3))
    return [
        Figure(f"start to the first complete page, {len(world.source_ids())} sources", statistics.median(spent)),
        Figure("mms-exporter --version", version),
    ]


def _config(folder: Path, url: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(
        f"""accounts:
  - name: bench
    region: cn-shanghai
    endpoint: {url}
    rate_limit: 0
    credentials: {{type: access_key, access_key_id: LTAI-EXAMPLE, access_key_secret: not-a-secret}}
""",
        encoding="utf-8",
    )
    return file


async def _first_page(config: Path) -> float:
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "exporter", f"--config.file={config}", "--web.listen-address=127.0.0.1:0"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None  # noqa: S101 - asked for above
        line = (await process.stderr.readline()).decode()
        base = line.partition("urls=")[2].split()[0]
        async with ClientSession() as session:
            while True:
                async with session.get(f"{base}/-/ready") as response:
                    if response.status == 200:  # noqa: PLR2004 - OK
                        break
                await asyncio.sleep(0.005)
            async with session.get(f"{base}/metrics") as response:
                await response.read()
        return time.perf_counter() - started
    finally:
        process.terminate()
        await process.wait()


def table(figures: list[Figure]) -> str:
    """Return the figures for people."""
    lines = [f"{'what':58} {'ms':>9}  {'ratio':>8}  beside"]
    for each in figures:
        ratio = "" if each.ratio is None else f"{each.ratio:.1f} x"
        beside = "" if each.beside_seconds is None else f"{each.beside}: {each.beside_seconds * 1000:.1f} ms"
        lines.append(f"{each.what:58} {each.seconds * 1000:9.2f}  {ratio:>8}  {beside}")
    return "\n".join(lines)


def main() -> None:
    """Measure everything."""
    held = Renderer().render(snapshot(SOURCES))
    figures = [*asyncio.run(scrapes()), *renderings(), *asyncio.run(status_pages()), *asyncio.run(starts())]
    print(f"{held.series} series of {SOURCES} sources; medians of {ROUNDS} rounds\n\n{table(figures)}")
    rows = [{**asdict(each), "ratio": each.ratio} for each in figures]
    RESULTS.write_text(json.dumps({"series": held.series, "figures": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
