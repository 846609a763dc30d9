"""State of a source's databases, kept between refreshes. Pure."""

from collections.abc import Mapping, Sequence
from math import inf
from operator import attrgetter
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

from exporter.collect.snapshot import DatabasesStats, SourceName
from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS, is_readable
from exporter.mms.listing import Listing
from exporter.mms.models.records import Database, DataSource

RECHECK_SECONDS: Final = 600.0
"""A list whose sums differ from an unchanged row is read again after this time."""
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
_COUNTS_OF: Final = attrgetter(*(attribute for _, attribute in _COUNTERS.values()))


class DatabaseState(Struct, frozen=True, gc=False):
    """State of a source's databases; empty at first."""

    stats: DatabasesStats | None = None
    row: DataSource | None = None
    """Row of the source when the list was read; None if the list proves nothing."""
    valid_until: float = -inf
    """While the row is unchanged, the list is read again at this monotonic second."""
    complete_at: float = -inf
    """When all databases were last read or confirmed, in monotonic seconds."""
    differing: tuple[str, ...] = ()
    """Fields whose sums differ from the row, or are unknown."""
    is_lasting: bool = False
    """Whether they also differed at the read before, with the same row."""

    def is_current(self, row: DataSource | None, now: float) -> bool:
        """Return whether an unchanged row confirms the databases."""
        return row is not None and self.row == row and now < self.valid_until

    def invalidated(self) -> Self:
        """Return the same values, to be read again."""
        return replace(self, row=None)

    def updated(
        self, name: SourceName, row: DataSource | None, listing: Listing[Database], wanted: int, now: float
    ) -> Self:
        """Return the state after a list, with the largest databases.

        An incomplete list adds to the databases that are known. Like one with unreadable names, it proves nothing.
        """
        known = () if listing.is_consistent or self.stats is None else self.stats.databases
        listed = {each.id: each for each in (*known, *listing.rows)}
        databases = [each for each in listed.values() if not each.deleted]
        stats = DatabasesStats(name, tuple(sorted(databases, key=lambda each: each.size_rank)[:wanted]), len(databases))
        state = replace(self, stats=self.stats if self.stats == stats else stats, row=None, is_lasting=False)
        if not listing.is_consistent or not all(is_readable(each.name) for each in databases):
            return state
        differing = () if row is None else _differing_fields(row, databases, listing.rows)
        # The first difference may be a change between the two calls: the list is read once more.
        is_lasting = bool(differing and self.differing) and self.row == row
        seconds = (RECHECK_SECONDS if is_lasting else 0.0) if differing else MAX_LIST_AGE_SECONDS
        return replace(
            state, row=row, valid_until=now + seconds, complete_at=now, differing=differing, is_lasting=is_lasting
        )


def _differing_fields(
    row: DataSource, databases: Sequence[Database], with_deleted: Sequence[Database]
) -> tuple[str, ...]:
    # UNVERIFIED: whether a row counts deleted databases. A source that has one settles it.
    found = _differing(row, databases)
    return found and min(found, _differing(row, with_deleted), key=len)


def _differing(row: DataSource, databases: Sequence[Database]) -> tuple[str, ...]:
    found = [] if row.db_num in (None, len(databases)) else ["total"]
    counts = [*zip(*map(_COUNTS_OF, databases), strict=True)] or [()] * len(_COUNTERS)
    for field, (counter, _), column in zip(_COUNTERS, _COUNTERS.values(), counts, strict=True):
        stated = getattr(row, counter)
        if stated is not None and (None in column or sum(column) != stated):
            found.append(field)
    return tuple(found)
