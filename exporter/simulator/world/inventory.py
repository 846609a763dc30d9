"""The tables and partitions of one source at any moment: its plans, and what events and created jobs changed."""

from bisect import bisect_right, insort_right
from collections.abc import Iterable
from operator import attrgetter

from exporter.simulator.world import states
from exporter.simulator.world.plans import TablePlan
from exporter.simulator.world.source_spec import SourceSpec, Spot
from exporter.simulator.world.states import Attempt, Counts, Tally

_START = attrgetter("start")


class TouchedTable:
    """A table that no longer goes by its plan: the tries at each of its units, in the source's moments."""

    def __init__(self, spot: Spot) -> None:
        self.partitions = spot.plan.partitions
        self._attempts = [
            [_moved(attempt, spot) for attempt in spot.plan.attempts(unit)] for unit in range(spot.plan.units)
        ]
        self._changes: list[float] = []
        self._known: tuple[int, Tally] | None = None
        self._changed()

    def attempts(self, unit: int) -> list[Attempt]:
        """Return the tries at one unit."""
        return self._attempts[unit]

    def add(self, units: Iterable[int], attempt: Attempt) -> None:
        """Add a try at some units."""
        for unit in units:
            insort_right(self._attempts[unit], attempt, key=_START)
        self._changed()

    def stop(self, job: int, moment: float) -> None:
        """Break off what a job has under way at `moment`, and drop what it has not begun."""
        self._attempts = [_without(attempts, job, moment) for attempts in self._attempts]
        self._changed()

    def tally(self, moment: float) -> Tally:
        """Return the table's tally at `moment`; it is counted again only after something changed."""
        place = bisect_right(self._changes, moment)
        if self._known is None or self._known[0] != place:
            statuses = [states.unit_status(attempts, moment) for attempts in self._attempts]
            self._known = place, states.table_tally(self.partitions, statuses)
        return self._known[1]

    def _changed(self) -> None:
        tries = {attempt for attempts in self._attempts for attempt in attempts}
        self._changes = sorted({moment for attempt in tries for moment in (attempt.start, attempt.end)})
        self._known = None


def _moved(attempt: Attempt, spot: Spot) -> Attempt:
    job = spot.first_job + attempt.job * spot.job_step
    return attempt._replace(start=attempt.start + spot.begin, end=attempt.end + spot.begin, job=job)


def _without(attempts: list[Attempt], job: int, moment: float) -> list[Attempt]:
    kept = (attempt for attempt in attempts if attempt.job != job or attempt.start < moment)
    return [
        attempt._replace(end=moment, outcome=None) if attempt.job == job and attempt.end > moment else attempt
        for attempt in kept
    ]


class Inventory:
    """What a source holds, served from plans; only touched tables are held one by one."""

    def __init__(self, source: SourceSpec) -> None:
        self.source = source
        self.touched: dict[int, TouchedTable] = {}

    def plan(self, table: int, moment: float) -> TablePlan | None:
        """Return the plan of a table; None where no such table is known at `moment`."""
        spot = self.source.spot(table, moment)
        return spot and spot.plan

    def database(self, table: int, moment: float) -> int:
        """Return the number of a known table's database."""
        spot = self.source.spot(table, moment)
        return spot.database if spot else 0

    def databases(self, moment: float) -> set[int]:
        """Return the numbers of the databases known at `moment`."""
        found = {self.database(table, moment) for table in self.source.tables(moment)}
        return found | set(range(1, self.source.databases + 1))

    def touch(self, table: int, moment: float) -> TouchedTable:
        """Return a known table in a form that can be changed."""
        if table not in self.touched:
            spot = self.source.spot(table, moment)
            if spot is None:
                raise LookupError(table)
            self.touched[table] = TouchedTable(spot)
        return self.touched[table]

    def tally(self, table: int, moment: float) -> Tally:
        """Return the tally of a known table."""
        touched = self.touched.get(table)
        if touched is not None:
            return touched.tally(moment)
        return self._planned(table, moment)

    def _planned(self, table: int, moment: float) -> Tally:
        spot = self.source.spot(table, moment)
        if spot is None:
            raise LookupError(table)
        return spot.plan.tally(moment - spot.begin)

    def unit_status(self, table: int, unit: int, moment: float) -> str:
        """Return the status of one partition, or of a table without any as its unit 0."""
        touched = self.touched.get(table)
        if touched is not None:
            return states.unit_status(touched.attempts(unit), moment)
        spot = self.source.spot(table, moment)
        if spot is None:
            raise LookupError(table)
        return states.unit_status(spot.plan.attempts(unit), moment - spot.begin)

    def totals(self, moment: float) -> tuple[int, int, int, Counts]:
        """Return the number of databases, tables and partitions, and the counts, of the source's row."""
        databases, tables, partitions, counts = self.source.inventory(moment)
        if self.touched:
            counts = states.total((counts, *self._corrections(moment)))
        return databases, tables, partitions, counts

    def _corrections(self, moment: float) -> Iterable[Counts]:
        """Yield what each touched table adds to the plans' counts."""
        for table, touched in self.touched.items():
            if self.source.spot(table, moment) is not None:
                yield states.table_counts(touched.tally(moment))
                yield states.times(-1, states.table_counts(self._planned(table, moment)))
