"""State of a source's failed tables and partitions, kept between refreshes. Pure."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final, Literal, Self

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collect.snapshot import FailedUnit, FailedUnits, FailuresStats, JobStats, SourceName
from exporter.mms.models.records import DataSource
from exporter.mms.models.scope import UnitSet

Kind = Literal["table", "partition"]

FAILED_COUNTS: Final[Mapping[Kind, Callable[[DataSource], int | None]]] = {
    "table": lambda row: row.tables_failed_num,
    "partition": lambda row: row.partitions_failed_num,
}
"""The numbers of failures in the row of a source."""
ListedFailures = tuple[FailedUnits, bool]
"""The failures in a list, and whether the list is consistent."""
MAX_LIST_AGE_SECONDS: Final = 3600.0
"""A list is read again after this time, because some units may have recovered while others failed."""
_SPREAD: Final = 17
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def max_list_age(source_id: int) -> float:
    """Return the maximum age of the lists of a source, in seconds."""
    # From 75 to 100 %, so that sources first read together are not all read again together.
    return MAX_LIST_AGE_SECONDS * (0.75 + source_id % _SPREAD / _SPREAD / 4)


class KindState(Struct, frozen=True, gc=False):
    """The failures of one kind."""

    failures: FailedUnits
    count: int | None
    """Number of failures in the row of the source; None if absent."""
    confirmed_at: float
    """When the failures were last read or confirmed, in monotonic seconds."""
    is_stable: bool
    """Whether the list needs to be read again only after the count changes."""
    listed_at: float = 0.0
    """When the list was read, in monotonic seconds."""
    units: UnitSet | None = None
    """The failures by scope; None if not all are named."""

    def is_unchanged(self, count: int | None, now: float, max_age: float = MAX_LIST_AGE_SECONDS) -> bool:
        """Return whether `count` confirms the failures; an absent one confirms nothing."""
        is_same = count is not None and self.count == count
        return self.is_stable and is_same and now - self.listed_at < max_age

    def invalidated(self) -> Self:
        """Return the same failures, to be read again."""
        return replace(self, is_stable=False)

    @classmethod
    def from_listing(
        cls, listed: ListedFailures, wanted: int, count: int | None, now: float, previous: "KindState | None"
    ) -> "KindState":
        """Return the state after a list, of which up to `wanted` units are named."""
        failures, is_consistent = listed
        # A total that differs from the count may be a change between the two calls: the list is read once more.
        is_repeated = previous is not None and (previous.count, previous.failures.total) == (count, failures.total)
        is_complete = is_consistent and sum(map(_has_readable_names, failures.newest)) >= min(wanted, failures.total)
        is_stable = is_complete and (is_repeated or failures.total == count)
        return cls(failures, count, now, is_stable=is_stable, listed_at=now, units=unit_set(failures))


def unit_set(failures: FailedUnits) -> UnitSet | None:
    """Return the failures by scope; None if not all are named."""
    if failures.total != len(failures.newest):
        return None
    return UnitSet.of((unit.src_db, unit.table, unit.id) for unit in failures.newest)


def _has_readable_names(unit: FailedUnit) -> bool:
    return is_readable(unit.src_db) and is_readable(unit.table) and (not unit.partition or is_readable(unit.partition))


def is_readable(name: str | None) -> bool:
    """Return whether a name was there and valid Unicode."""
    # Decoding puts replacement characters in place of invalid Unicode.
    return bool(name) and _REPLACEMENT not in (name or "")


class Lookups(Struct, gc=False):
    """Results of looking up the partitions of failed jobs one by one."""

    results: dict[int, FailedUnit | None] = field(default_factory=dict)
    """By partition id; None for a partition that is not failed."""
    _jobs: Mapping[int, JobStats] = field(default_factory=dict)
    _invalidated: frozenset[int] = frozenset()

    def update_jobs(self, failed: Mapping[int, JobStats]) -> None:
        """Replace the failed jobs, and drop the results of changed ones."""
        unchanged = (job for key, job in failed.items() if key in self._jobs and self._jobs[key].row == job.row)
        kept = {partition for job in unchanged for partition in job.partitions}
        self.results = {key: result for key, result in self.results.items() if key in kept}
        self._jobs = failed

    def invalidate(self) -> None:
        """Look up all failed partitions again: some may have recovered."""
        self._invalidated = frozenset(key for key, result in self.results.items() if result is not None)

    def due(self, wanted: int) -> Iterator[int]:
        """Yield the partitions to look up, highest id of the newest job first.

        Invalidated ones come first, then unknown ones until `wanted` are failed. `add` may be called meanwhile.
        """
        yield from sorted(self._invalidated & self.results.keys(), reverse=True)
        newest_first = (self._jobs[key].partitions for key in sorted(self._jobs, reverse=True))
        for partition_id in chain.from_iterable(newest_first):
            if partition_id not in self.results:
                if len(self.failed()) >= wanted:
                    return
                yield partition_id

    def add(self, partition_id: int, result: FailedUnit | None) -> None:
        """Store the result of a lookup."""
        self.results[partition_id] = result
        self._invalidated -= {partition_id}

    def failed(self) -> list[FailedUnit]:
        """Return the failed partitions, highest id first."""
        found = (self.results[key] for key in sorted(self.results, reverse=True))
        return [result for result in found if result is not None]


class FailureState(Struct, frozen=True, gc=False):
    """State of a source's failures; empty at first."""

    stats: FailuresStats | None = None
    kinds: Mapping[Kind, KindState] = field(default_factory=dict)
    lookups: Lookups = field(default_factory=Lookups)

    def invalidated(self) -> Self:
        """Return the same values, with all lists to be read again."""
        return replace(self, kinds={kind: state.invalidated() for kind, state in self.kinds.items()})

    def with_kinds(self, kinds: Mapping[Kind, KindState], name: SourceName) -> Self:
        """Return the state with `kinds`; equal stats stay the same object."""
        if not kinds:
            return replace(self, kinds=kinds, stats=None)
        tables, partitions = (kinds[kind].failures if kind in kinds else None for kind in ("table", "partition"))
        stats = FailuresStats(name, tables, partitions)
        return replace(self, kinds=kinds, stats=self.stats if self.stats == stats else stats)
