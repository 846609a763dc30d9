"""Snapshot -> pages of bytes, once per change; what did not change is not rendered again.

A part of the snapshot is rendered to one chunk a family, kept as long as the snapshot holds the same object. A page is
the chunks of each family behind its head. Both formats share the chunks. Knows nothing of requests.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from exporter.collect.snapshot import Snapshot
from exporter.exposition.families import PARTS
from exporter.exposition.family import Part
from exporter.exposition.text import Format, head, labels_text, sample_lines

_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_COMPRESSION_LEVEL: Final = 5


@dataclass(frozen=True, slots=True)
class _Chunks:
    """One part of the snapshot, rendered."""

    part: object
    lines: tuple[bytes, ...]
    """By family, in the order of the table."""
    series: int


@dataclass(frozen=True, slots=True)
class Deflated:
    """A page compressed, open at its end: what is appended later makes it one valid gzip member."""

    data: bytes = field(repr=False)
    crc: int
    size: int

    @classmethod
    def from_page(cls, page: bytes) -> "Deflated":
        """Return `page` compressed."""
        deflate = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        return cls(deflate.compress(page) + deflate.flush(zlib.Z_SYNC_FLUSH), zlib.crc32(page), len(page))

    def gzip_with(self, rest: bytes) -> tuple[bytes, ...]:
        """Return the gzip file of the page followed by `rest`, in pieces."""
        deflate = zlib.compressobj(_COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        tail = deflate.compress(rest) + deflate.flush(zlib.Z_FINISH)
        trailer = struct.pack("<LL", zlib.crc32(rest, self.crc), (self.size + len(rest)) & 0xFFFFFFFF)
        return _GZIP_HEADER, self.data, tail + trailer


@dataclass(frozen=True, slots=True)
class Page:
    """All series of a snapshot, ready to be handed out."""

    plain: dict[Format, bytes] = field(repr=False)
    deflated: dict[Format, Deflated] = field(repr=False)
    series: int


class Renderer:
    """Renders one snapshot after another, each mostly made of the chunks of the one before."""

    def __init__(self) -> None:
        self._kept: list[dict[tuple[str, ...], _Chunks]] = [{} for _ in PARTS]

    def render(self, snapshot: Snapshot) -> Page:
        """Return the page of `snapshot`. Not to be called twice at a time."""
        self._kept = [
            dict(_rendered(kind, parts, kept))
            for kind, parts, kept in zip(PARTS, parts_by_kind(snapshot), self._kept, strict=True)
        ]
        plain: dict[Format, bytes] = {"text": self._page("text"), "openmetrics": self._page("openmetrics")}
        deflated = {text_format: Deflated.from_page(page) for text_format, page in plain.items()}
        return Page(plain, deflated, sum(chunks.series for kept in self._kept for chunks in kept.values()))

    def _page(self, text_format: Format) -> bytes:
        pieces: list[bytes] = []
        for kind, kept in zip(PARTS, self._kept, strict=True):
            columns = list(zip(*(chunks.lines for chunks in kept.values()), strict=True))
            for family, column in zip(kind.families, columns, strict=bool(columns)):
                pieces += [head(family, text_format), *column] if any(column) else []
        return b"".join(pieces)


def parts_by_kind(snapshot: Snapshot) -> tuple[list[Any], ...]:
    """Return the parts of a snapshot, in the order of PARTS."""
    accounts = list(snapshot.accounts)
    sources = [source for account in accounts for source in account.sources]
    return (
        accounts,
        [collector for account in accounts for collector in account.collectors],
        [source.figures for source in sources if source.figures is not None],
        [source.jobs for source in sources if source.jobs is not None],
        [source.failures for source in sources if source.failures is not None],
        [table for account in accounts for table in account.tables],
        [partition for account in accounts for partition in account.partitions],
        sources,
    )


def _rendered(
    kind: Part[Any],
    parts: list[Any],
    kept: dict[tuple[str, ...], _Chunks],
) -> Iterator[tuple[tuple[str, ...], _Chunks]]:
    """Yield the chunks of each part by its label values; those of a part that is the same object are kept."""
    for part in parts:
        values = kind.label_values(part)
        before = kept.get(values)
        yield values, before if before is not None and before.part is part else _chunks(kind, part, values)


def _chunks(kind: Part[Any], part: object, values: tuple[str, ...]) -> _Chunks:
    prefix = labels_text(kind.labels, values)
    rendered = [sample_lines(family, prefix, part) for family in kind.families]
    return _Chunks(part, tuple(lines for lines, _ in rendered), sum(count for _, count in rendered))
