"""Renders a snapshot as a page; unchanged parts are neither rendered nor compressed again. Knows nothing of requests.

The cache has three levels: lines of a part, per family; blocks of neighbouring parts, per family, which are compressed
together; and the text of a whole family. Each entry is reused while its input is equal.
"""

import struct
import zlib
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain
from typing import Any, Final

from msgspec import Struct

from exporter.collect.snapshot import Snapshot
from exporter.exposition.families.metric_table import METRIC_GROUPS
from exporter.exposition.families.metric_types import MetricGroup, PartKind, single_member
from exporter.exposition.text import family_name, labels_text, metadata_lines, sample_lines

_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LEVEL: Final = 5

BATCH_PARTS: Final = 32
"""Parts compressed together: fewer lower the compression ratio, more raise the cost of one change."""


def deflated(plain: bytes, end: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """Return `plain` as deflate blocks; Z_FINISH makes them the last ones."""
    # They end on a byte boundary and refer to no earlier ones, so they can be joined in any order.
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(plain) + deflate.flush(end)


@dataclass(frozen=True, slots=True)
class DeflatedPage:
    """A compressed page without trailer: `gzip_with` completes the gzip member."""

    data: bytes = field(repr=False)
    crc: int
    size: int

    @classmethod
    def from_chunks(cls, compressed: Iterable[bytes], plain: Sequence[bytes]) -> "DeflatedPage":
        """Join the chunks of a page, given compressed and plain."""
        crc = reduce(lambda previous, chunk: zlib.crc32(chunk, previous), plain, 0)
        return cls(b"".join(compressed), crc, sum(map(len, plain)))

    def gzip_with(self, rest: bytes) -> tuple[bytes, ...]:
        """Return the gzip file of the page followed by `rest`, in pieces."""
        trailer = struct.pack("<LL", zlib.crc32(rest, self.crc), (self.size + len(rest)) & 0xFFFFFFFF)
        return _GZIP_HEADER, self.data, deflated(rest, zlib.Z_FINISH) + trailer


class _Block(Struct, frozen=True, gc=False):
    """Text of a page, plain and compressed."""

    plain: bytes
    deflated: bytes
    series: int

    @classmethod
    def of(cls, plain: bytes, series: int) -> "_Block":
        return cls(plain, deflated(plain), series) if plain else _EMPTY

    @classmethod
    def of_lines(cls, texts: tuple[str, ...]) -> "_Block":
        """Return the block of the sample lines of neighbouring parts."""
        plain = "".join(texts).encode()
        return cls.of(plain, plain.count(b"\n"))


_EMPTY: Final = _Block(b"", b"", 0)


@dataclass(frozen=True, slots=True)
class FamilyText:
    """The text of a family on a page."""

    blocks: tuple[_Block, ...]
    joined: _Block
    """All blocks as one."""

    @classmethod
    def of(cls, blocks: tuple[_Block, ...]) -> "FamilyText":
        """Join blocks to the text of a family."""
        plain = b"".join([block.plain for block in blocks])
        compressed = b"".join([block.deflated for block in blocks])
        return cls(blocks, _Block(plain, compressed, sum(block.series for block in blocks)))


class _Batch(Struct, frozen=True, gc=False):
    """Neighbouring parts of one kind, rendered."""

    parts: list[Any]
    texts: list[tuple[str, ...]]
    """Sample lines of each part, by family."""
    blocks: tuple[_Block, ...]
    """By family."""


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """All series of a snapshot, plain and compressed."""

    families: tuple[_Block, ...] = field(repr=False)
    """Shared with the previous page where unchanged."""
    deflated: DeflatedPage = field(repr=False)
    series: int

    @classmethod
    def of(cls, families: Iterable[_Block]) -> "RenderedPage":
        """Return the page of the families in their order."""
        families = tuple(families)
        compressed = DeflatedPage.from_chunks([each.deflated for each in families], [each.plain for each in families])
        return cls(families, compressed, sum(each.series for each in families))

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """Return the plain text, one piece per family."""
        return tuple(each.plain for each in self.families)

    @property
    def plain(self) -> bytes:
        """Return the plain text as one byte string."""
        return b"".join(self.pieces)

    def filtered(self, names: Container[str]) -> "RenderedPage":
        """Return the page of the families in `names`, reusing their blocks."""
        return RenderedPage.of(each for each in self.families if family_name(each.plain) in names)


class Renderer:
    """Renders successive snapshots and reuses unchanged blocks."""

    def __init__(self) -> None:
        self._groups = tuple(_GroupRenderer(group) for group in METRIC_GROUPS)

    def render(self, snapshot: Snapshot) -> RenderedPage:
        """Return the page of `snapshot`. Not thread-safe."""
        parts = parts_by_kind(snapshot)
        for renderer in self._groups:
            renderer.render(parts[renderer.group.part])
        return RenderedPage.of(chain.from_iterable(renderer.families() for renderer in self._groups))


class _GroupRenderer:
    """Renders the families of one metric group."""

    def __init__(self, group: MetricGroup[Any]) -> None:
        self.group = group
        self._metadata = [_Block.of(metadata_lines(family), 0) for family in group.families]
        self._batches: list[_Batch] = []
        self._texts = [FamilyText.of((metadata,)) for metadata in self._metadata]

    def render(self, parts: list[Any]) -> None:
        """Render `parts`, reusing what the previous call rendered."""
        known: dict[int, tuple[str, ...]] | None = None
        batches: list[_Batch] = []
        for start in range(0, len(parts), BATCH_PARTS):
            batch = parts[start : start + BATCH_PARTS]
            previous = self._batches[len(batches)] if len(batches) < len(self._batches) else None
            if previous is not None and previous.parts == batch:
                batches.append(previous)
            else:
                known = self._texts_by_part() if known is None else known
                batches.append(self._rendered(batch, previous, known))
        self._batches = batches

    def families(self) -> Iterator[_Block]:
        """Yield the text of each family that has samples."""
        for number, metadata in enumerate(self._metadata):
            blocks = (metadata, *(batch.blocks[number] for batch in self._batches))
            if blocks != self._texts[number].blocks:
                self._texts[number] = FamilyText.of(blocks)
            if self._texts[number].joined.series:
                yield self._texts[number].joined

    def _texts_by_part(self) -> dict[int, tuple[str, ...]]:
        """Return the cached texts by the `id` of their part."""
        # The batches keep the parts alive, so no id is reused.
        batches = self._batches
        return {id(part): text for batch in batches for part, text in zip(batch.parts, batch.texts, strict=True)}

    def _rendered(self, parts: list[Any], previous: _Batch | None, known: dict[int, tuple[str, ...]]) -> _Batch:
        """Render a batch; texts and blocks that did not change are reused."""
        if previous is not None:
            pairs = zip(parts, previous.parts, previous.texts, strict=False)
            known |= {id(part): text for part, old_part, text in pairs if part == old_part}
        texts = [known.get(id(part)) or _part_texts(self.group, part) for part in parts]
        columns = zip(*texts, strict=True)  # one per family
        if previous is None:
            return _Batch(parts, texts, tuple(map(_Block.of_lines, columns)))
        compared = zip(columns, zip(*previous.texts, strict=True), previous.blocks, strict=True)
        blocks = tuple(block if column == old else _Block.of_lines(column) for column, old, block in compared)
        return _Batch(parts, texts, blocks)


def parts_by_kind(snapshot: Snapshot) -> dict[PartKind, list[Any]]:
    """Return the parts of a snapshot by the kind that metric groups name."""
    accounts = list(snapshot.accounts)
    sources = [source for account in accounts for source in account.sources]
    return {
        "account": accounts,
        "collector": [collector for account in accounts for collector in account.collectors],
        "source": sources,
        "source_row": [source.stats for source in sources if source.stats is not None],
        "jobs": [source.jobs for source in sources if source.jobs is not None],
        "scan": [source.scan for source in sources if source.scan is not None],
        "databases": [source.databases for source in sources if source.databases is not None],
        "tasks": [source.tasks for source in sources if source.tasks is not None],
        "failures": [source.failures for source in sources if source.failures is not None],
        "reasons": [source.reasons for source in sources if source.reasons is not None],
        "timers": [source.timers for source in sources if source.timers is not None],
        "table": [table for account in accounts for table in account.tables],
        "partition": [partition for account in accounts for partition in account.partitions],
    }


def _part_texts(group: MetricGroup[Any], part: object) -> tuple[str, ...]:
    """Return the sample lines of a part, by family."""
    prefix = labels_text(group.labels, group.label_values(part))
    if group.members is single_member:
        return tuple([sample_lines(family, prefix, part) for family in group.families])
    texts: list[list[str]] = [[] for _ in group.families]
    for values, member in group.members(part):
        labels = f"{prefix},{labels_text(group.member_labels, values)}" if values else prefix
        for text, family in zip(texts, group.families, strict=True):
            text.append(sample_lines(family, labels, member))
    return tuple(map("".join, texts))
