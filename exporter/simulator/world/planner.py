"""Draws migration plans. All sources of a world share a few, so that cost does not grow with their number."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from random import Random
from typing import Final

from exporter.mms.models.statuses import TASK_PHASES
from exporter.simulator.world import states
from exporter.simulator.world.options import WorldOptions, seeded_rng
from exporter.simulator.world.plans import DATABASE, PARTITIONS, TABLES, JobPlan, Plan, Span, TablePlan, TaskPlan
from exporter.simulator.world.states import Attempt

_WAVE, _BASE = 101, 102
_VARIANTS: Final = 16
"""Number of different plans of each kind."""
_PARTITIONED_SHARE: Final = 0.65
_PIECES: Final = 4
"""Largest number of tasks of one partitioned table."""
_SLOTS: Final = 2
"""Tasks of a job that run concurrently."""
_WAIT_SHARE: Final = 0.08
"""Share of a job's duration in INIT."""
_DATABASE_SHARE: Final = 0.4
_MARGIN: Final = 1 - 1e-9
"""Keeps rounding from ending a task after its job."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A job without its start time."""

    kind: str
    tasks: list[TaskPlan]


def schedule(tasks: list[TaskPlan], seconds: float, slots: int = _SLOTS) -> tuple[TaskPlan, ...]:
    """Schedule `tasks` in `slots` after the INIT phase."""
    slots = max(1, min(slots, len(tasks)))
    wait = seconds * _WAIT_SHARE
    rounds = ceil(len(tasks) / slots) or 1
    length = (seconds - wait) / rounds * _MARGIN
    return tuple(
        replace(task, start=wait + (position // slots) * length, seconds=length) for position, task in enumerate(tasks)
    )


class Planner:
    """The plans of one world; equal variants are one object."""

    def __init__(self, options: WorldOptions) -> None:
        self.options = options
        self.wave_tables = max(1, options.tables // (4 * max(1, options.running_jobs_per_source)))
        """Tables found by one scan."""
        self._wave = cache(self._drawn_wave)
        self._settled = cache(self._drawn_settled)

    def wave(self, key: int) -> Plan:
        """Return a plan of tables that are found and migrated."""
        return self._wave(key % _VARIANTS)

    def settled(self, key: int, tables: int, *, finished: bool) -> Plan:
        """Return a plan of `tables` that never change."""
        return self._settled(key % _VARIANTS, tables, finished)

    def _partitions(self, rng: Random) -> int:
        mean = self.options.partitions
        if not mean or rng.random() >= _PARTITIONED_SHARE:
            return 0
        return rng.randint(max(1, mean // 2), max(1, mean + mean // 2))

    def _drawn_settled(self, variant: int, tables: int, finished: bool) -> Plan:  # noqa: FBT001 - cached by position
        rng = seeded_rng(self.options.seed, _BASE, variant, tables, int(finished))
        return Plan(tuple(self._settled_table(rng, finished=finished) for _ in range(tables)))

    def _settled_table(self, rng: Random, *, finished: bool) -> TablePlan:
        partitions = self._partitions(rng)
        units = partitions or 1
        untouched, roll, done, failed = self.options.untouched_share, rng.random(), 0, 0
        if finished or roll >= untouched + self.options.failure_rate:
            done = units
        elif roll >= untouched:
            failed = rng.randint(1, units)
            done = rng.randint(0, units - failed)
        ranges = ((range(done), states.DONE), (range(done, done + failed), states.FAILED))
        spans = tuple(Span(units, Attempt(-2.0, -1.0, outcome, 0)) for units, outcome in ranges if units)
        return TablePlan(partitions, spans)

    def _drawn_wave(self, variant: int) -> Plan:
        rng = seeded_rng(self.options.seed, _WAVE, variant)
        partitions = [self._partitions(rng) for _ in range(self.wave_tables)]
        drafts = list(self._drafts(rng, partitions))
        jobs = tuple(self._jobs(rng, [*drafts, *_retry(drafts, partitions)]))
        own = {task.table for draft in drafts if draft.kind == DATABASE for task in draft.tasks}
        spans = _spans(jobs, len(partitions))
        return Plan(
            tuple(TablePlan(count, spans[table], table in own) for table, count in enumerate(partitions)),
            jobs,
        )

    def _drafts(self, rng: Random, partitions: list[int]) -> Iterator[_Draft]:
        table, database = 0, False
        while table < len(partitions):
            size = min(rng.randint(1, 3), len(partitions) - table)
            if not database and rng.random() < _DATABASE_SHARE:
                database = True
                yield self._draft(rng, DATABASE, partitions, range(table, table + size))
            elif partitions[table] > 1 and rng.random() < 1 / 2:
                size = 1
                tasks = self._draft(rng, PARTITIONS, partitions, range(table, table + 1)).tasks
                half = ceil(len(tasks) / 2)
                yield from (_Draft(PARTITIONS, part) for part in (tasks[:half], tasks[half:]) if part)
            else:
                yield self._draft(rng, TABLES, partitions, range(table, table + size))
            table += size

    def _draft(self, rng: Random, kind: str, partitions: list[int], tables: range) -> _Draft:
        return _Draft(kind, [task for table in tables for task in self._pieces(rng, table, partitions[table])])

    def _pieces(self, rng: Random, table: int, partitions: int) -> Iterator[TaskPlan]:
        size = ceil(partitions / _PIECES) or 1
        for first in range(0, partitions or 1, size):
            failed = rng.choice(TASK_PHASES) if rng.random() < self.options.failure_rate else None
            yield TaskPlan(table, range(first, min(first + size, partitions or 1)), 0.0, 0.0, failed)

    def _jobs(self, rng: Random, drafts: list[_Draft]) -> Iterator[JobPlan]:
        start = 0.0
        for draft in drafts:
            seconds = self.options.job_seconds * rng.uniform(0.6, 1.4)
            yield JobPlan(draft.kind, start, seconds, schedule(draft.tasks, seconds))
            start += seconds


def _retry(drafts: list[_Draft], partitions: list[int]) -> Iterator[_Draft]:
    """Yield a job that retries half of the failures successfully."""
    failed = [task for draft in drafts for task in draft.tasks if task.failed_phase]
    pieces = [task for task in failed if partitions[task.table]]
    chosen = pieces or failed
    if chosen:
        again = [replace(task, failed_phase=None, retried=1) for task in chosen[: ceil(len(chosen) / 2)]]
        yield _Draft(PARTITIONS if pieces else TABLES, again)


def _spans(jobs: tuple[JobPlan, ...], tables: int) -> list[tuple[Span, ...]]:
    """Return each table's attempts; `job` is the plan's job index."""
    found: list[list[Span]] = [[] for _ in range(tables)]
    for number, job in enumerate(jobs):
        for task in job.tasks:
            attempt = Attempt(job.start + task.start, job.start + task.end, task.outcome, number)
            found[task.table].append(Span(task.units, attempt))
    return [tuple(spans) for spans in found]
