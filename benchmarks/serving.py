"""What runs beside the process that measures: `python -m benchmarks.serving KIND OPTIONS`, OPTIONS as JSON."""

import asyncio
import base64
import gzip
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.heartbeat import Heartbeat
from benchmarks.settings import IDENTITY, config
from benchmarks.worlds import Held
from exporter import logs
from exporter.app.service import Service
from exporter.app.serving import WebOptions, serve
from exporter.exposition.negotiation import CONTENT_TYPES, accepts_gzip, format_for
from exporter.exposition.telemetry import Telemetry
from exporter.process_memory import freeze_startup_objects, limit_malloc_arenas
from exporter.simulator import ManualClock, ScaledClock, Simulator, World, WorldOptions
from exporter.simulator.api.operations import ApiRoute
from exporter.simulator.faults.fault_plan import Fault
from exporter.simulator.faults.response_faults import ApiAnswer
from exporter.simulator.http.request_auth import Received
from exporter.web.addresses import ListenAddress

Handler = Callable[[web.Request], Awaitable[web.Response]]
DAY_SECONDS = 86400


class Remembering(Simulator):
    """A simulated MMS that makes each answer once: what it takes for a world that stands still is not to count."""

    def __init__(self, *arguments: Any, latency_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._answers_after = latency_seconds
        self._made: dict[tuple[object, ...], ApiAnswer] = {}

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        due = time.monotonic() + self._answers_after
        response = await super()._handle(request)
        await asyncio.sleep(max(0.0, due - time.monotonic()))  # so much later, and not that and what the work takes
        return response

    def _answer(self, route: ApiRoute, received: Received, request_id: str, fault: Fault | None) -> ApiAnswer:
        key = received.path, received.query
        if key not in self._made:
            self._made[key] = super()._answer(route, received, request_id, fault)
        return self._made[key]


class Halting(Simulator):
    """A simulated MMS that makes what it answers of a source anew only now and then: each moves on by leaps."""

    _RENEWAL = 10
    """How often an answer is given."""
    _MOST = 1000
    """Sources whose answers are kept: those that are gone leave."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._given: dict[int, dict[tuple[object, ...], tuple[ApiAnswer, int]]] = {}

    def _answer(self, route: ApiRoute, received: Received, request_id: str, fault: Fault | None) -> ApiAnswer:
        if route.source_id is None:
            return super()._answer(route, received, request_id, fault)
        given = self._given.setdefault(route.source_id, {})
        key = received.path, received.query
        answer, times = given.get(key, (None, 0))
        if times == self._RENEWAL:
            given.clear()  # all at once, so that what it says here agrees with what it says there
            answer, times = None, 0
        if answer is None:
            answer = super()._answer(route, received, request_id, fault)
        given[key] = answer, times + 1
        if len(self._given) > self._MOST:
            del self._given[next(iter(self._given))]
        return answer


SIMULATORS: dict[str, type[Simulator]] = {"plain": Simulator, "remembering": Remembering, "halting": Halting}


async def simulator(options: dict[str, Any]) -> None:
    """Serve a simulated MMS; `answers`, `latency`, `speed` and `nice` beside the options of its world.

    Without a `speed` its time moves when it is told to.
    """
    latency, speed = options.pop("latency", 0.0), options.pop("speed", 0.001)
    kind = SIMULATORS[options.pop("answers", "plain")]
    os.nice(options.pop("nice", 0))
    start = time.time() - DAY_SECONDS
    world = World(WorldOptions(**options), clock=ManualClock(start) if speed is None else ScaledClock(start, speed))
    async with kind(world, identities=[IDENTITY], latency_seconds=latency) as served:
        await _until_ended(served.url)


async def exporter(options: dict[str, Any]) -> None:
    """Serve the exporter as it is; where it is `watched`, say at the end what its event loop went through."""
    heartbeat, is_watched = Heartbeat(), options.pop("watched", False)

    async def listening(urls: list[str]) -> None:
        if is_watched:  # the watching costs something itself
            heartbeat.start()
        print(urls[0], flush=True)

    logs.configure("warning", "logfmt")
    freeze_startup_objects()
    limit_malloc_arenas()
    settings = config(options.pop("endpoint"), **options)
    await serve(lambda: settings, Service(Telemetry()), WebOptions([ListenAddress("127.0.0.1", 0)]), listening)
    print(json.dumps(heartbeat.report()), flush=True)


async def constant(options: dict[str, Any]) -> None:
    """Serve four constant bodies with nothing but aiohttp."""
    with open(options["file"], encoding="ascii") as file:  # noqa: ASYNC230, PTH123 - before anybody is served
        bodies = {name: base64.b64decode(text) for name, text in json.load(file).items()}

    async def answer(request: web.Request) -> web.Response:
        text_format, is_gzip = _asked(request)
        return web.Response(body=bodies[f"{text_format} {is_gzip}"], headers=_headers(text_format, is_gzip=is_gzip))

    await _serve(answer)


async def generated(options: dict[str, Any]) -> None:
    """Serve the same series by prometheus_client, rendered for each scrape."""
    with open(options["file"], encoding="ascii") as file:  # noqa: ASYNC230, PTH123 - before anybody is served
        page = base64.b64decode(json.load(file)["text False"]).decode()
    registry = CollectorRegistry()
    registry.register(Held(text_string_to_metric_families(page)))

    async def answer(request: web.Request) -> web.Response:
        text_format, is_gzip = _asked(request)
        body = generate_latest(registry) if text_format == "text" else generate_openmetrics(registry)  # type: ignore[no-untyped-call]  # the library's lack
        body = gzip.compress(body) if is_gzip else body
        return web.Response(body=body, headers=_headers(text_format, is_gzip=is_gzip))

    await _serve(answer)


def _asked(request: web.Request) -> tuple[str, bool]:
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
    await _until_ended(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await runner.cleanup()


async def _until_ended(url: str) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(url, flush=True)
    await ended.wait()


KINDS = {each.__name__: each for each in (simulator, exporter, constant, generated)}

if __name__ == "__main__":
    asyncio.run(KINDS[sys.argv[1]](json.loads(sys.argv[2])))
