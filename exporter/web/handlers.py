"""HTTP handlers. They serve prepared data and never call MMS."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol

import msgspec
from aiohttp import Payload, web
from aiohttp.abc import AbstractStreamWriter

from exporter.errors import ConfigError
from exporter.exposition.negotiation import CONTENT_TYPES, accepts_gzip, format_for
from exporter.exposition.publisher import Publisher
from exporter.web.document_cache import CachedDocument, RenderedDocument
from exporter.web.security.web_config import add_default_headers
from exporter.web.status.page import POLICY, Links, page
from exporter.web.status.status_report import StatusInput

Reload = Callable[[], Awaitable[None]]

FIRST_CHUNK_BYTES: Final = 16 * 1024
"""aiohttp sends the first chunk with the headers, in one packet; it copies the chunk for that."""
CHUNK_BYTES: Final = 256 * 1024
"""Smaller chunks are slower; larger ones take more memory per slow reader, which holds one chunk, with TLS two."""
MAX_JOINED_BYTES: Final = 64 * 1024
"""Smaller pieces are joined up to this size."""

STATUS_PATH: Final = "/api/v1/status"


class Exporter(Protocol):
    """The part of the running exporter that handlers use."""

    publisher: Publisher

    def status_input(self) -> StatusInput:
        """Return the input of the status page."""

    @property
    def awaited_accounts(self) -> list[str]:
        """Accounts whose first refresh has not ended."""

    @property
    def is_healthy(self) -> bool:
        """Whether every background task runs."""


def application(
    exporter: Exporter,
    telemetry_path: str,
    reload: Reload | None,
    links: Links = Links(),  # noqa: B008 - immutable
) -> web.Application:
    """Return the application; `reload`, if any, may raise ConfigError."""
    app = web.Application()
    handlers, prefix = _Handlers(exporter, telemetry_path, reload, links), links.route_prefix
    app.on_response_prepare.append(_set_default_headers)
    app.router.add_get(f"{prefix}{telemetry_path}", handlers.metrics)
    if telemetry_path != "/":
        app.router.add_get(f"{prefix}/", handlers.page)
    app.router.add_get(f"{prefix}{STATUS_PATH}", handlers.status)
    app.router.add_get(f"{prefix}/-/healthy", handlers.healthy)
    app.router.add_get(f"{prefix}/-/ready", handlers.ready)
    if prefix:
        app.router.add_get("/", handlers.root)
        app.router.add_get(prefix, handlers.root)
    app.router.add_post(f"{prefix}/-/reload", handlers.reload)
    app.router.add_put(f"{prefix}/-/reload", handlers.reload)
    return app


class _Handlers:
    def __init__(self, exporter: Exporter, telemetry_path: str, reload: Reload | None, links: Links) -> None:
        self._exporter = exporter
        self._reload = reload
        self._root = f"{links.route_prefix}/"
        render = partial(page, telemetry_path=telemetry_path, links=links)
        self._page = CachedDocument(exporter.status_input, render, links.runbook_url)
        self._status = CachedDocument(exporter.status_input, msgspec.json.encode, links.runbook_url)

    async def root(self, _: web.Request) -> web.Response:
        return web.Response(
            status=HTTPStatus.FOUND, headers={"location": self._root}, text=f"{HTTPStatus.FOUND.phrase}\n"
        )

    async def metrics(self, request: web.Request) -> web.Response:
        text_format = format_for(_list_header(request, "accept"))
        gzip = _takes_gzip(request)
        headers = {"content-type": CONTENT_TYPES[text_format], "vary": "accept, accept-encoding"}
        if gzip:
            headers["content-encoding"] = "gzip"
        publisher = self._exporter.publisher
        if names := request.query.getall("name[]", []):
            pieces = publisher.filtered_pieces(text_format, names, gzip=gzip)
        else:
            pieces = publisher.pieces(text_format, gzip=gzip)
        return web.Response(body=SharedPayload(*pieces), headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": POLICY}
        return _document(request, headers, await self._page.current())

    async def status(self, request: web.Request) -> web.Response:
        headers = {"content-type": "application/json"}
        return _document(request, headers, await self._status.current())

    async def healthy(self, _: web.Request) -> web.Response:
        if not self._exporter.is_healthy:
            return web.Response(text="a background task has stopped\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(text="healthy\n")

    async def ready(self, _: web.Request) -> web.Response:
        if awaited := self._exporter.awaited_accounts:
            text = f"the first refresh has not finished: {', '.join(awaited)}\n"
            return web.Response(text=text, status=HTTPStatus.SERVICE_UNAVAILABLE)
        return web.Response(text="ready\n")

    async def reload(self, _: web.Request) -> web.Response:
        if self._reload is None:
            text = "reload is not enabled: start the exporter with --web.enable-lifecycle\n"
            return web.Response(text=text, status=HTTPStatus.NOT_FOUND)
        try:
            await self._reload()
        except ConfigError as error:
            return web.Response(text=f"{error}\n", status=HTTPStatus.BAD_REQUEST)
        return web.Response(text="reloaded\n")


async def _set_default_headers(_: web.Request, response: web.StreamResponse) -> None:
    add_default_headers(response.headers)


def _list_header(request: web.Request, name: str) -> str:
    # A list may be split over several header lines.
    return ",".join(request.headers.getall(name, []))


def _takes_gzip(request: web.Request) -> bool:
    return accepts_gzip(_list_header(request, "accept-encoding"))


def _document(request: web.Request, headers: dict[str, str], document: RenderedDocument) -> web.Response:
    headers |= {"cache-control": "private, no-cache", "vary": "accept-encoding"}
    headers["etag"] = f'W/"{document.tag}"'
    if any(tag.value in ("*", document.tag) for tag in request.if_none_match or ()):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    if _takes_gzip(request):
        headers["content-encoding"] = "gzip"
        return web.Response(body=SharedPayload(document.gzipped), headers=headers)
    return web.Response(body=SharedPayload(document.plain), headers=headers)


class SharedPayload(Payload):
    """A body shared by all clients, written in chunks without copies."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(pieces)
        self._size = sum(map(len, pieces))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body as fast as the client reads it."""
        for chunk in _chunks(self._value):
            await writer.write(chunk)


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    joined, size, limit = list[memoryview](), 0, FIRST_CHUNK_BYTES
    for piece in pieces:
        view = memoryview(piece)
        while view:
            chunk, view, limit = view[:limit], view[limit:], CHUNK_BYTES
            if joined and size + len(chunk) > MAX_JOINED_BYTES:
                yield b"".join(joined)
                joined, size = [], 0
            if len(chunk) > MAX_JOINED_BYTES:
                yield chunk
            else:
                joined.append(chunk)
                size += len(chunk)
    if joined:
        yield b"".join(joined)
