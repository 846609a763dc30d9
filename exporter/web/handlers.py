"""What each path answers. Every answer comes from what is ready; none waits for MMS."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from exporter.errors import ConfigError
from exporter.exposition.negotiation import CONTENT_TYPES, format_for, takes_gzip
from exporter.web.editions import Document, Edition
from exporter.web.page import POLICY, page
from exporter.web.security_headers import add_default_headers
from exporter.web.service import Service

Reload = Callable[[], Awaitable[None]]

MAX_REQUEST_BYTES: Final = 64 * 1024
CHUNK_BYTES: Final = 256 * 1024
"""So much of an answer is copied for a reader at a time: less takes longer, more is held for one who does not read."""

STATUS_PATH: Final = "/api/v1/status"


def application(service: Service, telemetry_path: str, reload: Reload | None) -> web.Application:
    """Return the routes; `reload`, which raises ConfigError, is offered where it is given."""
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    handlers = _Handlers(service, telemetry_path, reload)
    app.on_response_prepare.append(_guard)
    app.router.add_get(telemetry_path, handlers.metrics)
    if telemetry_path != "/":
        app.router.add_get("/", handlers.page)
    app.router.add_get(STATUS_PATH, handlers.status)
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
        self._page = Document(service.situation, partial(page, telemetry_path=telemetry_path))
        self._status = Document(service.situation, msgspec.json.encode)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        text_format = format_for(request.headers.get("accept", ""))
        gzip = takes_gzip(request.headers.get("accept-encoding", ""))
        headers = {"content-type": CONTENT_TYPES[text_format], "vary": "accept, accept-encoding"}
        if gzip:
            headers["content-encoding"] = "gzip"
        pieces = self._service.publisher.pieces(text_format, gzip=gzip)
        return await _streamed(request, headers, pieces)

    async def page(self, request: web.Request) -> web.StreamResponse:
        headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": POLICY}
        return await _edition(request, headers, await self._page.current())

    async def status(self, request: web.Request) -> web.StreamResponse:
        headers = {"content-type": "application/json"}
        return await _edition(request, headers, await self._status.current())

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


async def _guard(_: web.Request, response: web.StreamResponse) -> None:
    add_default_headers(response.headers)


async def _edition(request: web.Request, headers: dict[str, str], edition: Edition) -> web.StreamResponse:
    """Answer with an edition, or that the reader has it already."""
    headers |= {"cache-control": "private, no-cache", "vary": "accept-encoding"}
    headers["etag"] = f'W/"{edition.tag}"'
    if any(tag.value in ("*", edition.tag) for tag in request.if_none_match or ()):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    if takes_gzip(request.headers.get("accept-encoding", "")):
        headers["content-encoding"] = "gzip"
        return await _streamed(request, headers, (edition.gzipped,))
    return await _streamed(request, headers, (edition.plain,))


async def _streamed(request: web.Request, headers: dict[str, str], pieces: Sequence[bytes]) -> web.StreamResponse:
    """Answer with what all readers share."""
    response = web.StreamResponse(headers=headers)
    response.content_length = sum(map(len, pieces))
    with suppress(ConnectionError):  # who asked may leave at any moment
        await response.prepare(request)
        for piece in pieces if request.method != "HEAD" else ():
            await _write(response, piece)
    return response


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    """Write by and by what all readers share, so that a slow one holds no copy of it."""
    view = memoryview(piece)
    for start in range(0, len(view), CHUNK_BYTES):
        await response.write(view[start : start + CHUNK_BYTES])
