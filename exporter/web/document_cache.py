"""What is made of a situation for people and programs: in a thread, once for each situation, only when asked for."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from exporter.web.status.status_report import LEAST, USUAL, Situation, report_of
from exporter.web.status.status_schema import Report

_COMPRESSION_LEVEL: Final = 5
MAX_BYTES: Final = 8_000_000
"""Of a document before compression; a longer one is rendered again with the fewest rows."""


@dataclass(frozen=True, slots=True)
class Edition:
    """A document as of one situation."""

    situation: Situation
    plain: bytes = field(repr=False)
    gzipped: bytes = field(repr=False)
    tag: str
    """That of the report."""


class Document:
    """What `render` makes of a report, kept until the situation is another."""

    def __init__(self, situation: Callable[[], Situation], render: Callable[[Report], bytes]) -> None:
        self._situation = situation
        self._render = render
        self._lock = asyncio.Lock()
        self._edition: Edition | None = None

    async def current(self) -> Edition:
        """Return the edition of the situation as it is now; those who ask at a time wait for the same one."""
        async with self._lock:
            situation = self._situation()
            if self._edition is None or self._edition.situation != situation:
                self._edition = await asyncio.to_thread(self._made, situation)
            return self._edition

    def _made(self, situation: Situation) -> Edition:
        report = report_of(situation, USUAL)
        is_large = len(msgspec.json.encode(report)) > MAX_BYTES  # before the page, which takes longer to render
        plain = b"" if is_large else self._render(report)
        if is_large or len(plain) > MAX_BYTES:
            report = report_of(situation, LEAST)
            plain = self._render(report)
        gzipped = gzip.compress(plain, _COMPRESSION_LEVEL, mtime=0)
        return Edition(situation, plain, gzipped, report.tag)
