"""Cache of rendered documents. A document is rendered in a thread, on the first request after a change."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from exporter.web.status.attention import RUNBOOK_URL
from exporter.web.status.status_report import DEFAULT_LIMITS, MINIMUM_LIMITS, StatusInput, build_report
from exporter.web.status.status_schema import StatusReport

_COMPRESSION_LEVEL: Final = 5
MAX_BYTES: Final = 8_000_000
"""Maximum size before compression; a larger document is rendered again with MINIMUM_LIMITS."""


@dataclass(frozen=True, slots=True)
class RenderedDocument:
    """A document rendered from one status input."""

    status_input: StatusInput
    plain: bytes = field(repr=False)
    gzipped: bytes = field(repr=False)
    tag: str
    """The ETag of the report."""


class CachedDocument:
    """A rendered document, cached until the status input changes."""

    def __init__(
        self,
        status_input: Callable[[], StatusInput],
        render: Callable[[StatusReport], bytes],
        runbook_url: str = RUNBOOK_URL,
    ) -> None:
        self._build = partial(build_report, runbook_url=runbook_url)
        self._status_input = status_input
        self._render = render
        self._lock = asyncio.Lock()
        self._document: RenderedDocument | None = None

    async def current(self) -> RenderedDocument:
        """Return the document for the current status input."""
        async with self._lock:  # concurrent requests wait for one rendering
            status_input = self._status_input()
            if self._document is None or self._document.status_input != status_input:
                self._document = await asyncio.to_thread(self._rendered, status_input)
            return self._document

    def _rendered(self, status_input: StatusInput) -> RenderedDocument:
        report = self._build(status_input, DEFAULT_LIMITS)
        is_large = len(msgspec.json.encode(report)) > MAX_BYTES  # checked first: the page takes longer to render
        plain = b"" if is_large else self._render(report)
        if is_large or len(plain) > MAX_BYTES:
            report = self._build(status_input, MINIMUM_LIMITS)
            plain = self._render(report)
        gzipped = gzip.compress(plain, _COMPRESSION_LEVEL, mtime=0)
        return RenderedDocument(status_input, plain, gzipped, report.tag)
