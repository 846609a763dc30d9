"""Rendered documents, cached: each is rendered in a thread, once for each status input, on the first request."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from exporter.web.status.status_report import LEAST, USUAL, StatusInput, build_report
from exporter.web.status.status_schema import StatusReport

_COMPRESSION_LEVEL: Final = 5
MAX_BYTES: Final = 8_000_000
"""Of a document before compression; a longer one is rendered again with the fewest rows."""


@dataclass(frozen=True, slots=True)
class RenderedDocument:
    """A document as of one status_input."""

    status_input: StatusInput
    plain: bytes = field(repr=False)
    gzipped: bytes = field(repr=False)
    tag: str
    """That of the report."""


class Document:
    """What `render` makes of a report, kept until the status_input is another."""

    def __init__(self, status_input: Callable[[], StatusInput], render: Callable[[StatusReport], bytes]) -> None:
        self._status_input = status_input
        self._render = render
        self._lock = asyncio.Lock()
        self._document: RenderedDocument | None = None

    async def current(self) -> RenderedDocument:
        """Return the document of the status_input as it is now; those who ask at a time wait for the same one."""
        async with self._lock:
            status_input = self._status_input()
            if self._document is None or self._document.status_input != status_input:
                self._document = await asyncio.to_thread(self._made, status_input)
            return self._document

    def _made(self, status_input: StatusInput) -> RenderedDocument:
        report = build_report(status_input, USUAL)
        is_large = len(msgspec.json.encode(report)) > MAX_BYTES  # before the page, which takes longer to render
        plain = b"" if is_large else self._render(report)
        if is_large or len(plain) > MAX_BYTES:
            report = build_report(status_input, LEAST)
            plain = self._render(report)
        gzipped = gzip.compress(plain, _COMPRESSION_LEVEL, mtime=0)
        return RenderedDocument(status_input, plain, gzipped, report.tag)
