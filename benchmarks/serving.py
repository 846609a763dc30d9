"""Child processes of benchmarks: `python -m benchmarks.serving KIND OPTIONS`, OPTIONS as JSON."""

import asyncio
import base64
import gzip
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.heartbeat import Heartbeat
from benchmarks.settings import IDENTITY, config
from benchmarks.worlds import StaticCollector
from exporter import logs
from exporter.app.service import Service
from exporter.app.serving import WebOptions, serve
from exporter.config.network import ListenAddress
from exporter.exposition.negotiation import CONTENT_TYPES, accepts_gzip, format_for
from exporter.exposition.telemetry import Telemetry
from exporter.process_memory import freeze_startup_objects, limit_malloc_arenas
from exporter.simulator import ManualClock, ScaledClock, Simulator, World, WorldOptions
from exporter.simulator.api.operations import ApiRoute
from exporter.simulator.faults.fault_plan import Fault
from exporter.simulator.faults.response_faults import ApiAnswer
from exporter.simulator.http.request_auth import Received

Handler = Callable[[web.Request], Awaitable[web.Response]]
DAY_SECONDS = 86400


class CachingSimulator(Simulator):
    """A simulated MMS that computes each response once.

    So its own cost does not count. The world must not change.
    """

    def __init__(self, *arguments: Any, latency_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._latency_seconds = latency_seconds
        self._made: dict[tuple[object, ...], ApiAnswer] = {}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        due = time.monotonic() + self._latency_seconds
        response = await super()._handle(request)
        await asyncio.sleep(max(0.0, due - time.monotonic()))  # total latency, computing time included
        return response

    def _answer(self, route: ApiRoute, received: Received, request_id: str, fault: Fault | None) -> ApiAnswer:
        key = received.path, received.query
        if key not in self._made:
            self._made[key] = super()._answer(route, received, request_id, fault)
        return self._made[key]


class SteppingSimulator(Simulator):
    """A simulated MMS that repeats each response 10 times."""

    _REPEATS = 10
    """Times that a response is repeated."""
    _MAX_SOURCES = 1000
    """Sources with cached responses; the oldest is evicted."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cached: dict[int, dict[tuple[object, ...], tuple[ApiAnswer, int]]] = {}

    def _answer(self, route: ApiRoute, received: Received, request_id: str, fault: Fault | None) -> ApiAnswer:
        if route.source_id is None:
            return super()._answer(route, received, request_id, fault)
        cached = self._cached.setdefault(route.source_id, {})
        key = received.path, received.query
        answer, times = cached.get(key, (None, 0))
        if times == self._REPEATS:
            cached.clear()  # all at once, so that responses agree with each other
            answer, times = None, 0
        if answer is None:
            answer = super()._answer(route, received, request_id, fault)
        cached[key] = answer, times + 1
        if len(self._cached) > self._MAX_SOURCES:
            del self._cached[next(iter(self._cached))]
        return answer


SIMULATORS: dict[str, type[Simulator]] = {"plain": Simulator, "cached": CachingSimulator, "stepped": SteppingSimulator}


async def simulator(options: dict[str, Any]) -> None:
    """Serve a simulated MMS.

    `answers`, `latency`, `speed` and `nice` stand beside the options of its world. With speed None, time is advanced by
    the control endpoint.
    """
    latency, speed = options.pop("latency", 0.0), options.pop("speed", 0.001)
    kind = SIMULATORS[options.pop("answers", "plain")]
    os.nice(options.pop("nice", 0))
    start = time.time() - DAY_SECONDS
    world = World(WorldOptions(**options), clock=ManualClock(start) if speed is None else ScaledClock(start, speed))
    async with kind(world, identities=[IDENTITY], latency_seconds=latency) as served:
        await _until_terminated(served.url)


async def exporter(options: dict[str, Any]) -> None:
    """Serve the exporter; with `watched`, print its loop stalls."""
    heartbeat, is_watched = Heartbeat(), options.pop("watched", False)

    async def listening(urls: list[str]) -> None:
        if is_watched:  # the watchdog itself has a cost
            heartbeat.start()
        print(urls[0], flush=True)

    logs.configure("warning", "logfmt")
    freeze_startup_objects()
    limit_malloc_arenas()
    settings = config(options.pop("endpoint"), **options)
    await serve(lambda: settings, Service(Telemetry()), WebOptions([ListenAddress("127.0.0.1", 0)]), listening)
    print(json.dumps(heartbeat.report()), flush=True)


async def constant(options: dict[str, Any]) -> None:
    """Serve four constant bodies with aiohttp alone."""
    with open(options["file"], encoding="ascii") as file:  # noqa: ASYNC230, PTH123 - before the server starts
        bodies = {name: base64.b64decode(text) for name, text in json.load(file).items()}

    async def answer(request: web.Request) -> web.Response:
        text_format, is_gzip = _requested_format(request)
        return web.Response(body=bodies[f"{text_format} {is_gzip}"], headers=_headers(text_format, is_gzip=is_gzip))

    await _serve(answer)


async def replayed(options: dict[str, Any]) -> None:
    """Serve the bodies of a file one after another with aiohttp alone."""
    with open(options["file"], encoding="utf-8") as file:  # noqa: ASYNC230, PTH123 - before the server starts
        bodies = cycle([text.encode() for text in json.load(file)])

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=next(bodies), content_type="application/json")

    await _serve(answer)


async def generated(options: dict[str, Any]) -> None:
    """Serve the same series, rendered by prometheus_client for each scrape."""
    with open(options["file"], encoding="ascii") as file:  # noqa: ASYNC230, PTH123 - before the server starts
        page = base64.b64decode(json.load(file)["text False"]).decode()
    registry = CollectorRegistry()
    registry.register(StaticCollector(text_string_to_metric_families(page)))

    async def answer(request: web.Request) -> web.Response:
        text_format, is_gzip = _requested_format(request)
        body = generate_latest(registry) if text_format == "text" else generate_openmetrics(registry)  # type: ignore[no-untyped-call]  # the library's lack
        body = gzip.compress(body) if is_gzip else body
        return web.Response(body=body, headers=_headers(text_format, is_gzip=is_gzip))

    await _serve(answer)


def _requested_format(request: web.Request) -> tuple[str, bool]:
    return format_for(request.headers.get("accept", "")), accepts_gzip(request.headers.get("accept-encoding", ""))


def _headers(text_format: str, *, is_gzip: bool) -> dict[str, str]:
    headers = {"content-type": CONTENT_TYPES[text_format]}  # type: ignore[index]  # one of the two
    return headers | {"content-encoding": "gzip"} if is_gzip else headers


async def _serve(answer: Handler) -> None:
    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await _until_terminated(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def _until_terminated(url: str) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(url, flush=True)
    await ended.wait()


KINDS = {each.__name__: each for each in (simulator, exporter, constant, replayed, generated)}

if __name__ == "__main__":
    asyncio.run(KINDS[sys.argv[1]](json.loads(sys.argv[2])))
