"""Publishes the body of `/metrics`: rendered in a thread after each change, then swapped atomically.

Changes during a rendering cause one more rendering; two never run at a time.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.collect.snapshot import Snapshot
from exporter.exposition.rendering import RenderedPage, Renderer
from exporter.exposition.telemetry import Telemetry
from exporter.exposition.text import Format, filtered
from exporter.process_memory import trim_heap

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class _CachedGzip:
    """The last compressed response, with the parts it was built from."""

    page: RenderedPage
    telemetry: bytes
    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Publication:
    """A published snapshot."""

    snapshot: Snapshot = field(repr=False, default=Snapshot())
    number: int = 0
    """0 for the empty snapshot before the first publication."""
    at: float | None = None
    """Unix seconds; None before the first publication."""


class Publisher:
    """Turns snapshots into responses of `/metrics`."""

    def __init__(
        self, take_snapshot: Callable[[], Snapshot], telemetry: Telemetry, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._take_snapshot = take_snapshot
        self._telemetry = telemetry
        self._clock = clock
        self._renderer = Renderer()
        self._changed = asyncio.Event()
        self._page = self._renderer.render(Snapshot())
        self._gzip_cache: dict[Format, _CachedGzip] = {}
        self.publication = Publication()
        """The snapshot of the current page."""

    def note_change(self) -> None:
        """Request a new rendering."""
        self._changed.set()

    async def run(self) -> None:
        """Publish after every change, until cancelled."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(0)  # with 10,000 data sources, the change and the snapshot take ms each
            try:
                await self.publish()
            except Exception:
                log.exception("rendering failed with an unexpected error, serving the previous metrics")

    async def publish(self) -> None:
        """Render the current snapshot and serve it from now on."""
        started = self._clock.monotonic()
        self._changed.clear()
        snapshot, at = self._take_snapshot(), self._clock.wall()
        self._page = await asyncio.to_thread(self._render, snapshot)
        self.publication = Publication(snapshot, self.publication.number + 1, at)
        self._telemetry.note_rendering(self._clock.monotonic() - started, self._page.series)

    def _render(self, snapshot: Snapshot) -> RenderedPage:
        page = self._renderer.render(snapshot)
        trim_heap()  # returns the memory of earlier pages to the system
        return page

    def pieces(self, text_format: Format, *, gzip: bool) -> tuple[bytes, ...]:
        """Return the page and the current telemetry; large pieces are shared."""
        telemetry, page = self._telemetry.page(text_format), self._page
        if not gzip:
            return *page.pieces, telemetry
        cached = self._gzip_cache.get(text_format)
        if cached is None or cached.page is not page or cached.telemetry is not telemetry:
            # One piece: a separate small write would only cost the client another wake-up.
            response = b"".join(page.deflated.gzip_with(telemetry))
            cached = self._gzip_cache[text_format] = _CachedGzip(page, telemetry, (response,))
        return cached.pieces

    def filtered_pieces(self, text_format: Format, names: Iterable[str], *, gzip: bool) -> tuple[bytes, ...]:
        """Return the families in `names`, bypassing the gzip cache."""
        families = {name.removesuffix("_total") for name in names}
        page, telemetry = self._page.filtered(families), filtered(self._telemetry.page(text_format), families)
        return page.deflated.gzip_with(telemetry) if gzip else (*page.pieces, telemetry)

    def body(self, text_format: Format, *, gzip: bool) -> bytes:
        """Return the whole exposition as one byte string."""
        return b"".join(self.pieces(text_format, gzip=gzip))
