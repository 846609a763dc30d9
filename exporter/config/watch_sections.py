"""The configuration records of watched tables and partitions."""

from collections import Counter
from collections.abc import Iterable, Iterator

from exporter.config.sections import Section


class _Watched(Section, frozen=True, kw_only=True):
    compared_with = {  # noqa: RUF012 - declared as ClassVar
        "source_id": ("source",),
        "table_ids": ("db", "table"),
        "partition_ids": ("db", "table", "partition"),
    }

    source_id: int | None = None
    """ID of the data source."""
    source: str | None = None
    """Name of the data source, instead of `source_id`."""
    db: str | None = None
    """Source database; with `table`, instead of IDs."""
    table: str | None = None
    """Source table."""

    def _selector_errors(self, ids: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        # Reports missing, repeated and contradicting selectors.
        if (self.source_id is None) == (self.source is None):
            yield "source_id", "expected either source_id or source"
        yield from ((ids, f"has {number} more than once") for number in _repeated(getattr(self, ids)))
        given = [name for name in names if getattr(self, name) is not None]
        if bool(getattr(self, ids)) == bool(given):
            yield ids, f"expected either {ids} or {', '.join(names)}"
        elif given and len(given) < len(names):
            missing = next(name for name in names if name not in given)
            yield missing, f"is required with {given[0]}"


class WatchedTables(_Watched, frozen=True, kw_only=True):
    """Tables of one data source, by IDs or exact name."""

    table_ids: tuple[int, ...] = ()
    """IDs of the tables, instead of names."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield missing or ambiguous selectors of tables."""
        yield from self._selector_errors("table_ids", ("db", "table"))


class WatchedPartitions(_Watched, frozen=True, kw_only=True):
    """Partitions of one data source, by IDs or exact name."""

    partition_ids: tuple[int, ...] = ()
    """IDs of the partitions, instead of names."""
    partition: str | None = None
    """Value of the partition, such as `p1=1/p2=abc`."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield missing or ambiguous selectors of partitions."""
        yield from self._selector_errors("partition_ids", ("db", "table", "partition"))


class Watch(Section, frozen=True, kw_only=True):
    """The watch collector. Each account watches the entries that belong to its data sources."""

    tables: tuple[WatchedTables, ...] = ()
    """Tables to watch."""
    partitions: tuple[WatchedPartitions, ...] = ()
    """Partitions to watch."""


def _repeated(numbers: Iterable[int]) -> list[int]:
    return [number for number, count in Counter(numbers).items() if count > 1]
