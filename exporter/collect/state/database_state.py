"""State of a source's databases, kept between refreshes. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from math import inf
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

from exporter.collect.snapshot import DatabasesStats, SourceName
from exporter.collect.state.failure_state import is_readable, max_list_age
from exporter.mms.listing import Listing
from exporter.mms.models.records import Database, DataSource

RECHECK_SECONDS: Final = 600.0
"""A list that still differs from an unchanged row, or still proves nothing, is read again after this time."""
_COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "tables": ("table_num", "tables"),
    "tablesDoing": ("tables_doing_num", "tables_doing"),
    "tablesDone": ("tables_done_num", "tables_done"),
    "tablesPartDone": ("tables_part_done_num", "tables_part_done"),
    "tablesFailed": ("tables_failed_num", "tables_failed"),
    "partitions": ("partition_num", "partitions"),
    "partitionsDoing": ("partitions_doing_num", "partitions_doing"),
    "partitionsDone": ("partitions_done_num", "partitions_done"),
    "partitionsFailed": ("partitions_failed_num", "partitions_failed"),
}
"""By API name of the field of a database: the attributes of the source and of the database."""


class DatabaseState(Struct, frozen=True, gc=False):
    """State of a source's databases; empty at first."""

    stats: DatabasesStats | None = None
    listed: DatabasesStats | None = None
    """What the last list had; `stats` adds what an incomplete one lacked."""
    oldest_at: float = -inf
    """When the oldest value of `stats` was read or confirmed, in monotonic seconds."""
    row: DataSource | None = None
    """Row of the source when the list was read; None if an unchanged row confirms nothing."""
    valid_until: float = -inf
    """While the row is unchanged, the list is read again at this monotonic second."""
    is_certain: bool = True
    """Whether the list was complete, with readable names."""
    differing: tuple[str, ...] = ()
    """Fields whose sums differ from the row, or are unknown."""
    repeats: int = 0
    """How many lists in a row before this one, with the same row, had the same doubt."""

    @property
    def doubt(self) -> tuple[DataSource | None, bool, bool]:
        """Return the row, and whether the list was certain and differed."""
        return self.row, self.is_certain, bool(self.differing)

    @property
    def is_doubtful(self) -> bool:
        """Return whether the list proves nothing about the row."""
        return not self.is_certain or bool(self.differing)

    @property
    def is_lasting(self) -> bool:
        """Return whether the doubt is no passing one."""
        # The first difference may be a change between the two calls; a fault of the server may last a few refreshes.
        return self.repeats >= (1 if self.is_certain else 2)

    def is_current(self, row: DataSource | None, now: float) -> bool:
        """Return whether an unchanged row confirms the databases."""
        return row is not None and self.row == row and now < self.valid_until

    def invalidated(self) -> Self:
        """Return the same values, to be read again."""
        return replace(self, row=None)

    def stats_since(self, oldest: float) -> DatabasesStats | None:
        """Return the values without those of earlier lists that are older than `oldest`."""
        if self.stats is None or self.listed is None or self.oldest_at >= oldest:
            return self.stats
        return replace(self.listed, name=self.stats.name)

    def updated(
        self, name: SourceName, row: DataSource | None, listing: Listing[Database], wanted: int, now: float
    ) -> Self:
        """Return the state after a list, with the largest databases.

        An incomplete list adds to the databases that are known.
        """
        databases = [each for each in listing.rows if not each.deleted]
        total = len(databases) if listing.is_consistent else max(len(databases), listing.total or 0)
        stats = listed = DatabasesStats(name, _largest(databases, wanted), total)
        if self.stats is not None and not listing.is_consistent:
            stats = _merged(listed, self.stats, listing.rows, wanted)
        is_certain = listing.is_consistent and all(is_readable(each.name) for each in databases)
        state = replace(
            self,
            stats=self.stats if self.stats == stats else stats,
            listed=listed,
            oldest_at=now if stats == listed else self.oldest_at,
            row=row if stats == listed else None,
            is_certain=is_certain,
            differing=_differing_fields(row, databases, listing.rows) if row is not None and is_certain else (),
        )
        state = replace(state, repeats=self.repeats + 1 if state.is_doubtful and state.doubt == self.doubt else 0)
        seconds = (RECHECK_SECONDS if state.is_lasting else 0.0) if state.is_doubtful else max_list_age(name.source_id)
        return replace(state, valid_until=now + seconds)


def _largest(databases: Iterable[Database], wanted: int) -> tuple[Database, ...]:
    return tuple(nsmallest(wanted, databases, key=lambda each: each.size_rank))


def _merged(listed: DatabasesStats, known: DatabasesStats, rows: Sequence[Database], wanted: int) -> DatabasesStats:
    """Return an incomplete list with the known databases that it lacks."""
    ids = {each.id for each in rows}
    lacking = [each for each in known.databases if each.id not in ids]
    present = sum(not each.deleted for each in rows)
    total = max(listed.total, present + len(lacking), known.total)
    return DatabasesStats(listed.name, _largest((*listed.databases, *lacking), wanted), total)


def _differing_fields(
    row: DataSource, databases: Sequence[Database], with_deleted: Sequence[Database]
) -> tuple[str, ...]:
    # UNVERIFIED: whether a row counts deleted databases. A source that has one settles it.
    found = _differing(row, databases)
    return found and min(found, _differing(row, with_deleted), key=len)


def _differing(row: DataSource, databases: Sequence[Database]) -> tuple[str, ...]:
    found = [] if row.db_num in (None, len(databases)) else ["dbNum"]
    for field, (counter, attribute) in _COUNTERS.items():
        counts = [getattr(each, attribute) for each in databases]
        if (stated := getattr(row, counter)) is not None and (None in counts or sum(counts) != stated):
            found.append(field)
    return tuple(found)
