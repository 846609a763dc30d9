"""The page that is handed out now: made off the event loop after each change, swapped in whole.

What changes while a page is made leads to one more page, never to two at a time.
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
class _Compressed:
    """What was handed out last."""

    page: RenderedPage
    own: bytes
    pieces: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Publication:
    """A snapshot that is handed out."""

    snapshot: Snapshot = field(repr=False, default=Snapshot())
    number: int = 0
    """0 for the empty one before the first."""
    at: float | None = None
    """Unix seconds; None before the first."""


class Publisher:
    """Turns snapshots into what `/metrics` answers."""

    def __init__(
        self, take_snapshot: Callable[[], Snapshot], telemetry: Telemetry, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._take_snapshot = take_snapshot
        self._telemetry = telemetry
        self._clock = clock
        self._renderer = Renderer()
        self._changed = asyncio.Event()
        self._page = self._renderer.render(Snapshot())
        self._compressed: dict[Format, _Compressed] = {}
        self.publication = Publication()
        """What the page that is handed out was made of."""

    def note_change(self) -> None:
        """Have a new page made soon."""
        self._changed.set()

    async def run(self) -> None:
        """Publish after every change, until cancelled."""
        while True:
            await self._changed.wait()
            try:
                await self.publish()
            except Exception:
                log.exception("rendering failed with an unexpected error, serving the previous metrics")

    async def publish(self) -> None:
        """Make a page of what is known now and hand it out from now on."""
        started = self._clock.monotonic()
        self._changed.clear()
        snapshot, at = self._take_snapshot(), self._clock.wall()
        self._page = await asyncio.to_thread(self._made_of, snapshot)
        self.publication = Publication(snapshot, self.publication.number + 1, at)
        self._telemetry.note_rendering(self._clock.monotonic() - started, self._page.series)

    def _made_of(self, snapshot: Snapshot) -> RenderedPage:
        page = self._renderer.render(snapshot)
        trim_heap()  # what the pages before the one that is handed out now took
        return page

    def pieces(self, text_format: Format, *, gzip: bool) -> tuple[bytes, ...]:
        """Return the whole exposition, in pieces that are shared by all who read it where they are large.

        It is the page, and behind it the exporter's own series as they are now.
        """
        own, page = self._telemetry.page(text_format), self._page
        if not gzip:
            return *page.pieces, own
        handed_out = self._compressed.get(text_format)
        if handed_out is None or handed_out.page is not page or handed_out.own is not own:
            # As one piece: a small one that is sent by itself wakes the reader for nothing.
            handed_out = self._compressed[text_format] = _Compressed(
                page, own, (b"".join(page.deflated.gzip_with(own)),)
            )
        return handed_out.pieces

    def filtered_pieces(self, text_format: Format, names: Iterable[str], *, gzip: bool) -> tuple[bytes, ...]:
        """Return the families in `names`, in pieces; `pieces` keeps what it keeps."""
        families = {name.removesuffix("_total") for name in names}
        page, own = self._page.filtered(families), filtered(self._telemetry.page(text_format), families)
        return page.deflated.gzip_with(own) if gzip else (*page.pieces, own)

    def body(self, text_format: Format, *, gzip: bool) -> bytes:
        """Return the whole exposition as one."""
        return b"".join(self.pieces(text_format, gzip=gzip))
