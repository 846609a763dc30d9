"""Snapshot -> a page of bytes, once per change; what did not change is neither rendered nor compressed again.

A part of the snapshot is rendered to one chunk of text a family, kept as long as the snapshot holds the same object, or
an equal one in its place. The chunks of a group of neighbours make one block a family, kept as long as its text is the
same. A family's stretch of the page is its head and its blocks, kept as long as these are the same. Knows nothing of
requests.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from exporter.collect.snapshot import Snapshot
from exporter.exposition.families.metric_table import PARTS
from exporter.exposition.families.metric_types import MetricGroup, itself
from exporter.exposition.gzip_chunks import Deflated, deflated
from exporter.exposition.text import family_name, head, labels_text, sample_lines

GROUP_PARTS: Final = 32
"""Parts whose chunks are compressed together: fewer are compressed worse, more are compressed again for one change."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A piece of a page."""

    plain: bytes
    deflated: bytes
    series: int

    @classmethod
    def of(cls, plain: bytes, series: int) -> "_Block":
        return cls(plain, deflated(plain), series) if plain else _EMPTY

    @classmethod
    def of_lines(cls, chunks: tuple[str, ...]) -> "_Block":
        """Return the block of sample lines of neighbours."""
        plain = "".join(chunks).encode()
        return cls.of(plain, plain.count(b"\n"))


_EMPTY: Final = _Block(b"", b"", 0)


@dataclass(frozen=True, slots=True)
class FamilyText:
    """All of a family that stands on a page."""

    blocks: tuple[_Block, ...]
    whole: _Block
    """What they make together."""

    @classmethod
    def of(cls, blocks: tuple[_Block, ...]) -> "FamilyText":
        """Join blocks to the text of a family."""
        plain = b"".join([block.plain for block in blocks])
        compressed = b"".join([block.deflated for block in blocks])
        return cls(blocks, _Block(plain, compressed, sum(block.series for block in blocks)))


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbouring parts of one kind, rendered."""

    parts: list[Any]
    chunks: list[tuple[str, ...]]
    """Of each part, the text by family."""
    blocks: tuple[_Block, ...]
    """By family."""


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """All series of a snapshot, ready to be handed out."""

    families: tuple[_Block, ...] = field(repr=False)
    """Most of them are the page's before, too."""
    deflated: Deflated = field(repr=False)
    series: int

    @classmethod
    def of(cls, families: Iterable[_Block]) -> "RenderedPage":
        """Return the page of families in their order."""
        families = tuple(families)
        compressed = Deflated.from_pieces([each.deflated for each in families], [each.plain for each in families])
        return cls(families, compressed, sum(each.series for each in families))

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The text, family by family."""
        return tuple(each.plain for each in self.families)

    @property
    def plain(self) -> bytes:
        """As it is, in one."""
        return b"".join(self.pieces)

    def filtered(self, names: Container[str]) -> "RenderedPage":
        """Return the page of the families in `names`; nothing is rendered or compressed for it."""
        return RenderedPage.of(each for each in self.families if family_name(each.plain) in names)


class Renderer:
    """Renders one snapshot after another, each mostly made of the blocks of the one before."""

    def __init__(self) -> None:
        self._kinds = tuple(_KindRenderer(kind) for kind in PARTS)

    def render(self, snapshot: Snapshot) -> RenderedPage:
        """Return the page of `snapshot`. Not to be called twice at a time."""
        for kind, parts in zip(self._kinds, parts_by_kind(snapshot), strict=True):
            kind.render(parts)
        return RenderedPage.of(chain.from_iterable(kind.families() for kind in self._kinds))


class _KindRenderer:
    """Renders the parts of one kind."""

    def __init__(self, kind: MetricGroup[Any]) -> None:
        self._kind = kind
        self._heads = [_Block.of(head(family), 0) for family in kind.families]
        self._groups: list[_Group] = []
        self._stretches = [FamilyText.of((first,)) for first in self._heads]

    def render(self, parts: list[Any]) -> None:
        """Keep `parts` rendered, with what was kept of those before."""
        known: dict[int, tuple[str, ...]] | None = None
        groups: list[_Group] = []
        for start in range(0, len(parts), GROUP_PARTS):
            group = parts[start : start + GROUP_PARTS]
            before = self._groups[len(groups)] if len(groups) < len(self._groups) else None
            if before is not None and before.parts == group:
                groups.append(before)
            else:
                known = self._chunks_by_part() if known is None else known
                groups.append(self._rendered(group, before, known))
        self._groups = groups

    def families(self) -> Iterator[_Block]:
        """Yield what stands on the page of each family; nothing of one without a sample."""
        for number, first in enumerate(self._heads):
            blocks = (first, *(group.blocks[number] for group in self._groups))
            if blocks != self._stretches[number].blocks:
                self._stretches[number] = FamilyText.of(blocks)
            if self._stretches[number].whole.series:
                yield self._stretches[number].whole

    def _chunks_by_part(self) -> dict[int, tuple[str, ...]]:
        """Return the chunks that are kept, by the identity of their parts, which the groups keep alive."""
        groups = self._groups
        return {id(part): chunks for group in groups for part, chunks in zip(group.parts, group.chunks, strict=True)}

    def _rendered(self, parts: list[Any], before: _Group | None, known: dict[int, tuple[str, ...]]) -> _Group:
        """Return a group, made of the chunks `known` by the identity of their parts, to which it adds, and new ones."""
        if before is not None:
            in_place = zip(parts, before.parts, before.chunks, strict=False)
            known |= {id(part): chunks for part, old, chunks in in_place if part == old}
        chunks = [known.get(id(part)) or _chunks(self._kind, part) for part in parts]
        columns = zip(*chunks, strict=True)
        if before is None:
            return _Group(parts, chunks, tuple(map(_Block.of_lines, columns)))
        were = zip(before.blocks, zip(*before.chunks, strict=True), strict=True)
        kept = zip(columns, were, strict=True)
        blocks = tuple(block if column == old else _Block.of_lines(column) for column, (block, old) in kept)
        return _Group(parts, chunks, blocks)


def parts_by_kind(snapshot: Snapshot) -> tuple[list[Any], ...]:
    """Return the parts of a snapshot, in the order of PARTS."""
    accounts = list(snapshot.accounts)
    sources = [source for account in accounts for source in account.sources]
    jobs = [source.jobs for source in sources if source.jobs is not None]
    tasks = [source.tasks for source in sources if source.tasks is not None]
    return (
        accounts,
        [collector for account in accounts for collector in account.collectors],
        [source.figures for source in sources if source.figures is not None],
        jobs,
        jobs,
        tasks,
        tasks,
        [source.failures for source in sources if source.failures is not None],
        [table for account in accounts for table in account.tables],
        [partition for account in accounts for partition in account.partitions],
        sources,
    )


def _chunks(kind: MetricGroup[Any], part: object) -> tuple[str, ...]:
    """Return the text of a part, by family."""
    prefix = labels_text(kind.labels, kind.label_values(part))
    if kind.members is itself:
        return tuple([sample_lines(family, prefix, part) for family in kind.families])
    texts: list[list[str]] = [[] for _ in kind.families]
    for values, member in kind.members(part):
        labels = f"{prefix},{labels_text(kind.member_labels, values)}" if values else prefix
        for text, family in zip(texts, kind.families, strict=True):
            text.append(sample_lines(family, labels, member))
    return tuple(map("".join, texts))
