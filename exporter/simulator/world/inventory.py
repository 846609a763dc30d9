"""Tables and partitions of one source at any moment: its plans, plus the changes by events and created jobs."""

from bisect import bisect_right, insort_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from exporter.simulator.world import states
from exporter.simulator.world.plans import Plan, TablePlan
from exporter.simulator.world.source_spec import Placement, SourceSpec
from exporter.simulator.world.states import Attempt, Counts, Tally

_START = attrgetter("start")


class TouchedTable:
    """A table that deviates from its plan: attempts per unit."""

    def __init__(self, placement: Placement) -> None:
        self.partitions = placement.plan.partitions
        self.changed: dict[int, float] = {}
        """Moment of the last change at the source by unit."""
        self._attempts = [
            [_shifted(attempt, placement) for attempt in placement.plan.attempts(unit)]
            for unit in range(placement.plan.units)
        ]
        self._changes: list[float] = []
        self._cached: tuple[int, Tally] | None = None
        self._invalidate()

    def attempts(self, unit: int) -> list[Attempt]:
        """Return the attempts at one unit."""
        return self._attempts[unit]

    def add(self, units: Iterable[int], attempt: Attempt) -> None:
        """Add an attempt at some units."""
        for unit in units:
            insort_right(self._attempts[unit], attempt, key=_START)
        self._invalidate()

    def stop(self, job: int, moment: float) -> None:
        """Abort a job's running attempts and drop its later ones."""
        self._attempts = [_without(attempts, job, moment) for attempts in self._attempts]
        self._invalidate()

    def is_updated(self, unit: int, moment: float) -> bool:
        """Return whether a unit changed since it was migrated."""
        changed = self.changed.get(unit, moment + 1.0)
        ends = (attempt.end for attempt in self._attempts[unit] if attempt.outcome == states.DONE)
        return changed <= moment and not any(changed < end <= moment for end in ends)

    def tally(self, moment: float) -> Tally:
        """Return the tally at `moment`, cached until the next change."""
        place = bisect_right(self._changes, moment)
        if self._cached is None or self._cached[0] != place:
            statuses = [states.unit_status(attempts, moment) for attempts in self._attempts]
            self._cached = place, states.table_tally(self.partitions, statuses)
        return self._cached[1]

    def _invalidate(self) -> None:
        attempts = {attempt for attempts in self._attempts for attempt in attempts}
        self._changes = sorted({moment for attempt in attempts for moment in (attempt.start, attempt.end)})
        self._cached = None


def _shifted(attempt: Attempt, placement: Placement) -> Attempt:
    job = placement.first_job + attempt.job * placement.job_step
    return attempt._replace(start=attempt.start + placement.begin, end=attempt.end + placement.begin, job=job)


def _without(attempts: list[Attempt], job: int, moment: float) -> list[Attempt]:
    kept = (attempt for attempt in attempts if attempt.job != job or attempt.start < moment)
    return [
        attempt._replace(end=moment, outcome=None) if attempt.job == job and attempt.end > moment else attempt
        for attempt in kept
    ]


class DatabaseShare(NamedTuple):
    """Tables of one database that were found together."""

    database: int
    tables: Sequence[int]
    plan: Plan
    """Of these tables only."""
    age: float
    """Seconds since the plan began."""


class Inventory:
    """Inventory of a source; only changed tables are stored."""

    def __init__(self, source: SourceSpec) -> None:
        self.source = source
        self.touched: dict[int, TouchedTable] = {}

    def plan(self, table: int, moment: float) -> TablePlan | None:
        """Return a table's plan, None if unknown at `moment`."""
        placement = self.source.placement(table, moment)
        return placement and placement.plan

    def database(self, table: int, moment: float) -> int:
        """Return the number of a known table's database."""
        placement = self.source.placement(table, moment)
        return placement.database if placement else 0

    def databases(self, moment: float) -> set[int]:
        """Return the numbers of the databases known at `moment`."""
        found = {self.database(table, moment) for table in self.source.tables(moment)}
        return found | set(range(1, self.source.databases + 1))

    @cached_property
    def _settled_shares(self) -> list[DatabaseShare]:
        source, tables = self.source, self.source.base.tables
        return [
            DatabaseShare(
                number,
                range(number, len(tables) + 1, source.databases),
                Plan(tables[number - 1 :: source.databases]),
                float("inf"),
            )
            for number in range(1, source.databases + 1)
        ]

    def shares(self, moment: float) -> Iterator[DatabaseShare]:
        """Yield the known tables without a pass over them."""
        yield from self._settled_shares
        for lane in self.source.lanes:
            current, age = lane.place(moment)
            for wave in range(current + 1):
                first = self.source.first_table(wave, lane)
                for indexes, plan in lane.plan.by_database:
                    database = self.database(first + indexes[0], moment)
                    tables = [first + index for index in indexes]
                    yield DatabaseShare(database, tables, plan, age if wave == current else float("inf"))

    def database_totals(self, moment: float) -> dict[int, tuple[int, int, Counts]]:
        """Return tables, partitions and counts of each database, by id."""
        found: dict[int, list[DatabaseShare]] = defaultdict(list)
        for share in self.shares(moment):
            found[share.database].append(share)
        corrections: dict[int, list[Counts]] = defaultdict(list)
        for table, correction in self._corrections(moment):
            corrections[self.database(table, moment)].append(correction)
        return {
            database: (
                sum(len(share.tables) for share in shares),
                sum(share.plan.partitions for share in shares),
                states.total([*(share.plan.counts(share.age) for share in shares), *corrections[database]]),
            )
            for database, shares in sorted(found.items())
        }

    def touch(self, table: int, moment: float) -> TouchedTable:
        """Return a table in its changeable form."""
        if table not in self.touched:
            placement = self.source.placement(table, moment)
            if placement is None:
                raise LookupError(table)
            self.touched[table] = TouchedTable(placement)
        return self.touched[table]

    def tally(self, table: int, moment: float) -> Tally:
        """Return the tally of a known table."""
        touched = self.touched.get(table)
        if touched is not None:
            return touched.tally(moment)
        return self._planned(table, moment)

    def _planned(self, table: int, moment: float) -> Tally:
        placement = self.source.placement(table, moment)
        if placement is None:
            raise LookupError(table)
        return placement.plan.tally(moment - placement.begin)

    def unit_status(self, table: int, unit: int, moment: float) -> str:
        """Return the status of a partition or an unpartitioned table."""
        touched = self.touched.get(table)
        if touched is not None:
            return states.unit_status(touched.attempts(unit), moment)
        placement = self.source.placement(table, moment)
        if placement is None:
            raise LookupError(table)
        return states.unit_status(placement.plan.attempts(unit), moment - placement.begin)

    def updated(self, table: int, moment: float) -> set[int]:
        """Return the units that changed since they were migrated."""
        touched = self.touched.get(table)
        return {unit for unit in touched.changed if touched.is_updated(unit, moment)} if touched else set()

    def totals(self, moment: float) -> tuple[int, int, int, Counts]:
        """Return databases, tables, partitions and counts of the source row."""
        databases, tables, partitions, counts = self.source.inventory(moment)
        if self.touched:
            counts = states.total((counts, *(correction for _, correction in self._corrections(moment))))
        return databases, tables, partitions, counts

    def _corrections(self, moment: float) -> Iterator[tuple[int, Counts]]:
        """Yield each changed table with its difference to its plan."""
        for table, touched in self.touched.items():
            if self.source.placement(table, moment) is not None:
                planned = states.times(-1, states.table_counts(self._planned(table, moment)))
                yield table, states.total((states.table_counts(touched.tally(moment)), planned))
