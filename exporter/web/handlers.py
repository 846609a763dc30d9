"""What each path answers. Every answer comes from what is ready; none waits for MMS."""

from collections.abc import Awaitable, Callable
from html import escape
from http import HTTPStatus
from typing import Final

from aiohttp import web

from exporter import __version__
from exporter.errors import ConfigError
from exporter.exposition.negotiation import CONTENT_TYPES, format_for, takes_gzip
from exporter.web.service import Service

Reload = Callable[[], Awaitable[None]]

MAX_REQUEST_BYTES: Final = 64 * 1024
CHUNK_BYTES: Final = 256 * 1024

PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>MMS exporter</title>
<style>body {{ font-family: sans-serif; margin: 2rem; max-width: 40rem; line-height: 1.5 }}</style>
</head>
<body>
<h1>MMS exporter</h1>
<p>Prometheus metrics of the MaxCompute Migration Service. Version {version}.</p>
<ul>
<li><a href="{metrics}">Metrics</a></li>
<li><a href="/-/healthy">Health</a>: the exporter itself runs</li>
<li><a href="/-/ready">Readiness</a>: every account was asked at least once</li>
</ul>
</body>
</html>
"""


def application(service: Service, telemetry_path: str, reload: Reload | None) -> web.Application:
    """Return the routes; `reload`, which raises ConfigError, is offered where it is given."""
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    handlers = _Handlers(service, telemetry_path, reload)
    app.router.add_get(telemetry_path, handlers.metrics)
    if telemetry_path != "/":
        app.router.add_get("/", handlers.index)
    app.router.add_get("/-/healthy", handlers.healthy)
    app.router.add_get("/-/ready", handlers.ready)
    if reload is not None:
        app.router.add_post("/-/reload", handlers.reload)
        app.router.add_put("/-/reload", handlers.reload)
    return app


class _Handlers:
    def __init__(self, service: Service, telemetry_path: str, reload: Reload | None) -> None:
        self._service = service
        self._reload = reload
        self._page = PAGE.format(version=escape(__version__), metrics=escape(telemetry_path))

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        text_format = format_for(request.headers.get("accept", ""))
        gzip = takes_gzip(request.headers.get("accept-encoding", ""))
        headers = {"content-type": CONTENT_TYPES[text_format], "vary": "accept, accept-encoding"}
        if gzip:
            headers["content-encoding"] = "gzip"
        pieces = self._service.publisher.pieces(text_format, gzip=gzip)
        response = web.StreamResponse(headers=headers)
        response.content_length = sum(map(len, pieces))
        await response.prepare(request)
        if request.method != "HEAD":
            for piece in pieces:
                await _write(response, piece)
        return response

    async def index(self, _: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html")

    async def healthy(self, _: web.Request) -> web.Response:
        if not self._service.is_healthy:
            return web.Response(text="a task has ended that should run\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(text="healthy\n")

    async def ready(self, _: web.Request) -> web.Response:
        if awaited := self._service.awaited_accounts:
            text = f"the first refresh has not ended: {', '.join(awaited)}\n"
            return web.Response(text=text, status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(text="ready\n")

    async def reload(self, _: web.Request) -> web.Response:
        if self._reload is None:
            raise web.HTTPNotFound
        try:
            await self._reload()
        except ConfigError as error:
            return web.Response(text=f"{error}\n", status=HTTPStatus.BAD_REQUEST)
        return web.Response(text="reloaded\n")


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    """Write by and by what all readers share, so that a slow one holds no copy of it."""
    view = memoryview(piece)
    for start in range(0, len(view), CHUNK_BYTES):
        await response.write(view[start : start + CHUNK_BYTES])
