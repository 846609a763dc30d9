"""Migration plans: built once, then read at any moment, and shared by many sources."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final, NamedTuple

from exporter.simulator.world import states
from exporter.simulator.world.states import Attempt, Counts, Tally

DATABASE: Final = "Database"
TABLES: Final = "Tables"
PARTITIONS: Final = "Partitions"

_PHASES: Final = (("SCHEMA", 0.1, 0.13), ("DATA", 0.75, 0.78), ("VERIFICATION", 0.97, 1.0))
"""Phases of a task, with the shares of its duration at which each ends and the next begins."""


class Span(NamedTuple):
    """One attempt at several units of a table."""

    units: Sequence[int]
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """A task: units of one table that are migrated together.

    Times count from the job's creation.
    """

    table: int
    """Index into the plan's tables."""
    units: Sequence[int]
    start: float
    seconds: float
    """Duration, as if it did not fail."""
    failed_phase: str | None = None
    retried: int = 0

    @property
    def end(self) -> float:
        """The end, successful or not."""
        return self.start + self.seconds * _failure_point(self.failed_phase)

    @property
    def outcome(self) -> str:
        """DONE or FAILED."""
        return states.FAILED if self.failed_phase else states.DONE

    def status(self, age: float) -> str:
        """Return the status `age` seconds after the job's creation."""
        if age < self.start:
            return states.INIT
        if age >= self.end:
            return f"{self.failed_phase}_FAILED" if self.failed_phase else states.DONE
        share = (age - self.start) / self.seconds
        for phase, done, following in _PHASES:
            if share < following:
                return f"{phase}_DOING" if share < done else f"{phase}_DONE"
        return states.DONE


def phase_ends(status: str) -> Iterator[tuple[str, float]]:
    """Yield ended phases with the share of the duration."""
    phases = [phase for phase, _, _ in _PHASES]
    phase, _, result = status.rpartition("_")
    ended = {states.INIT: 0, states.DONE: len(_PHASES)}.get(status)
    if ended is None:
        ended = phases.index(phase) + (result != states.DOING)
    yield from ((name, done) for name, done, _ in _PHASES[:ended])


def _failure_point(failed_phase: str | None) -> float:
    return next((done for phase, done, _ in _PHASES if phase == failed_phase), 1.0)


@dataclass(frozen=True)
class JobPlan:
    """A job: its tasks and its time in the plan."""

    kind: str
    start: float
    seconds: float
    tasks: tuple[TaskPlan, ...]

    @cached_property
    def begins(self) -> float:
        """Seconds from creation to the first task."""
        return min((task.start for task in self.tasks), default=0.0)

    @cached_property
    def outcome(self) -> str:
        """DONE, or FAILED if any task failed."""
        return states.FAILED if any(task.failed_phase for task in self.tasks) else states.DONE

    def status(self, age: float) -> str:
        """Return the job's status `age` seconds after its creation."""
        if age >= self.seconds:
            return self.outcome
        return states.INIT if age < self.begins else states.DOING

    @cached_property
    def _done_at(self) -> list[float]:
        return sorted(task.end for task in self.tasks if not task.failed_phase)

    def tasks_done(self, age: float) -> int:
        """Return the number of DONE tasks `age` seconds after creation."""
        return bisect_right(self._done_at, age)


@dataclass(frozen=True)
class TablePlan:
    """A table: its partitions and all attempts in time order."""

    partitions: int
    spans: tuple[Span, ...]
    own_database: bool = False
    """Whether its database is new in the same scan."""

    @property
    def units(self) -> int:
        """The number of units."""
        return self.partitions or 1

    def attempts(self, unit: int) -> Iterable[Attempt]:
        """Yield the attempts at one unit."""
        return (span.attempt for span in self.spans if unit in span.units)

    @cached_property
    def _story(self) -> tuple[list[float], list[Tally]]:
        moments = sorted({moment for span in self.spans for moment in (span.attempt.start, span.attempt.end)})
        attempts = [tuple(self.attempts(unit)) for unit in range(self.units)]
        known = [
            states.table_tally(self.partitions, [states.unit_status(tries, moment) for tries in attempts])
            for moment in (float("-inf"), *moments)
        ]
        return moments, known

    def tally(self, moment: float) -> Tally:
        """Return the table's tally at `moment`."""
        moments, known = self._story
        return known[bisect_right(moments, moment)]

    def changes(self) -> Iterable[tuple[float, Counts]]:
        """Yield the moments of tally changes with the count differences."""
        moments, known = self._story
        counts = [states.table_counts(tally) for tally in known]
        for moment, before, after in zip(moments, counts, counts[1:], strict=False):
            yield moment, Counts(*(new - old for old, new in zip(before, after, strict=True)))


@dataclass(frozen=True)
class Plan:
    """Tables found together, and the consecutive jobs that migrate them.

    A plan without jobs is a settled inventory, the same at every moment.
    """

    tables: tuple[TablePlan, ...]
    jobs: tuple[JobPlan, ...] = ()

    @cached_property
    def seconds(self) -> float:
        """The duration of the plan."""
        return self.jobs[-1].start + self.jobs[-1].seconds if self.jobs else 0.0

    @cached_property
    def partitions(self) -> int:
        """The partitions of all tables."""
        return sum(table.partitions for table in self.tables)

    @cached_property
    def own_databases(self) -> int:
        """Databases that are new in this plan: 0 or 1."""
        return int(any(table.own_database for table in self.tables))

    @cached_property
    def by_database(self) -> tuple[tuple[tuple[int, ...], "Plan"], ...]:
        """Indexes and plan of the tables of each database."""
        indexes = [
            tuple(index for index, table in enumerate(self.tables) if table.own_database == is_own)
            for is_own in (False, True)
        ]
        return tuple((each, Plan(tuple(self.tables[index] for index in each))) for each in indexes if each)

    @cached_property
    def job_starts(self) -> list[float]:
        """The creation time of each job."""
        return [job.start for job in self.jobs]

    @cached_property
    def failed_before(self) -> list[int]:
        """Failed jobs before each index; the last entry counts all."""
        return list(accumulate((int(job.outcome == states.FAILED) for job in self.jobs), initial=0))

    @cached_property
    def _story(self) -> tuple[list[float], list[Counts]]:
        changes = sorted(change for table in self.tables for change in table.changes())
        before = states.total(states.table_counts(table.tally(float("-inf"))) for table in self.tables)
        known = accumulate(
            (delta for _, delta in changes), lambda sum_, delta: states.total((sum_, delta)), initial=before
        )
        return [moment for moment, _ in changes], list(known)

    def counts(self, moment: float) -> Counts:
        """Return the counts over all tables at `moment`."""
        moments, known = self._story
        return known[bisect_right(moments, moment)]

    @cached_property
    def final_counts(self) -> Counts:
        """The counts at the end of the plan."""
        return self.counts(float("inf"))
