"""Jobs of one source: past ones, those of its lanes, and those created on request.

Jobs are computed from their numbers, not stored: a source with 1,000 finished jobs holds none. Newest is highest id.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, Final, NamedTuple

from exporter.mms.models.statuses import TASK_PHASES, UNFINISHED_JOB_STATUSES
from exporter.simulator.world import states
from exporter.simulator.world.options import draw, pick
from exporter.simulator.world.planner import schedule
from exporter.simulator.world.plans import DATABASE, PARTITIONS, TABLES, JobPlan, TaskPlan
from exporter.simulator.world.source_clock import SourceTime
from exporter.simulator.world.source_spec import SourceSpec

FIRST_CREATED_ID: Final = 9_000_001
_HISTORY_GAP_SECONDS: Final = 3600.0
_HISTORY_TASKS: Final = 20
_PLAN, _STOP = 301, 302
_TASKS_PER_JOB: Final = 100_000


class SimulatedTask(NamedTuple):
    """A task at one moment."""

    id: int
    number: int
    table: int
    plan: TaskPlan
    status: str


@dataclass(frozen=True, slots=True)
class SimulatedJob:
    """One job: plan, start, and stop if any."""

    id: int
    plan: JobPlan
    created: float
    """The moment at which the plan starts."""
    first_table: int
    """The number of the plan's first table."""
    database: int
    name: str | None = None
    """None: a default name from id and database."""
    created_at: float | None = None
    """World seconds of the creation, which a pause does not delay; None: those of `created`."""
    stopped_at: float | None = None
    """The moment of the stop: running tasks are aborted, waiting ones never start."""
    eta: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Further configuration fields from the CreateMmsJob request."""

    def age(self, moment: float) -> float:
        """Return the seconds since creation, up to the stop."""
        return (moment if self.stopped_at is None else min(moment, self.stopped_at)) - self.created

    def stopped(self, moment: float) -> bool:
        """Return whether it is stopped at `moment`."""
        return self.stopped_at is not None and moment >= self.stopped_at

    def status(self, moment: float) -> str:
        """Return its status at `moment`."""
        return self.plan.status(self.age(moment))

    def tasks_done(self, moment: float) -> int:
        """Return how many of its tasks are DONE at `moment`."""
        return self.plan.tasks_done(self.age(moment))

    def tasks(self, moment: float) -> Iterator[SimulatedTask]:
        """Yield the tasks at `moment`."""
        age, stopped = self.age(moment), self.stopped(moment)
        for number, plan in enumerate(self.plan.tasks):
            broken_off = stopped and age < plan.end
            status = states.INIT if broken_off else plan.status(age)
            yield SimulatedTask(task_id(self.id, number), number, self.first_table + plan.table, plan, status)

    def tables(self) -> list[int]:
        """Return the distinct tables it migrates, in order."""
        return list(dict.fromkeys(self.first_table + task.table for task in self.plan.tasks))


def task_id(job: int, number: int) -> int:
    """Return the id of a task, unique in its source."""
    return job * _TASKS_PER_JOB + number + 1


class Created:
    """A requested job and the asynchronous task that creates it."""

    def __init__(self, job: SimulatedJob, requested_at: float, ready_at: float, *, is_successful: bool = True) -> None:
        self.job = job
        self.requested_at = requested_at
        """World seconds of the request."""
        self.ready_at = ready_at
        """World seconds at which the job appears."""
        self.is_successful = is_successful
        """Whether the asynchronous task succeeds."""
        self.is_removed = False
        """Whether it was deleted."""
        self.scope: Mapping[int, Sequence[int]] = {}
        """Requested units by table number, DONE ones included."""

    def exists(self, seconds: float) -> bool:
        """Return whether the job exists at a world second."""
        return self.is_successful and not self.is_removed and self.ready_at <= seconds


class JobStore:
    """Finds, counts and lists the jobs of a source."""

    def __init__(self, source: SourceSpec) -> None:
        self.source = source
        self.created: list[Created] = []
        self.stopped: dict[int, float] = {}
        """Moment of each stop by job id."""

    @property
    def oldest(self) -> float:
        """The moment at which the oldest job was created."""
        return self._history_created(1)

    def find(self, job_id: int, at: SourceTime) -> SimulatedJob | None:
        """Return one job, None if it does not exist."""
        if job_id >= FIRST_CREATED_ID:
            found = self._found(job_id, at)
        elif 1 <= job_id < self.source.first_lane_job:
            found = self._past_job(job_id)
        elif job_id >= self.source.first_lane_job and self.source.lanes:
            found = self._lane_job(job_id, at)
        else:
            return None
        stopped_at = self.stopped.get(job_id)
        return found if found is None or stopped_at is None else replace(found, stopped_at=stopped_at)

    def find_task(self, number: int, at: SourceTime) -> tuple[SimulatedJob, SimulatedTask] | None:
        """Return a task with its job, None if missing."""
        job = self.find((number - 1) // _TASKS_PER_JOB, at)
        tasks = () if job is None else job.tasks(at.moment)
        return next(((job, task) for task in tasks if job is not None and task.id == number), None)

    def ids(self, at: SourceTime) -> Iterator[int]:
        """Yield the ids of all jobs, newest first."""
        return chain(self._created_ids(at), self._lane_ids(at), range(self.source.first_lane_job - 1, 0, -1))

    def count(self, at: SourceTime) -> int:
        """Return the number of all jobs."""
        lanes = sum(lane.created(at.moment) for lane in self.source.lanes)
        return len(list(self._created_ids(at))) + lanes + self.source.first_lane_job - 1

    def unfinished(self, at: SourceTime) -> list[SimulatedJob]:
        """Return the jobs that are INIT or DOING, newest first."""
        source = self.source
        width = len(source.lanes)
        current = {source.first_lane_job + lane.ended(at.moment) * width + lane.number for lane in source.lanes}
        before = range(source.history + 1, source.first_lane_job)
        known = {*self._created_ids(at), *current, *before, *self.stopped}
        found = (self.find(job_id, at) for job_id in sorted(known, reverse=True))
        return [job for job in found if job is not None and job.status(at.moment) in UNFINISHED_JOB_STATUSES]

    def count_failed(self, at: SourceTime) -> int:
        """Return the number of FAILED jobs without a scan."""
        source = self.source
        failed = source.history // self._failure_step if self._failure_step else 0
        for lane in source.lanes:
            wave, index = divmod(lane.ended(at.moment), len(lane.plan.jobs))
            failed += wave * lane.plan.failed_before[-1] + lane.plan.failed_before[index]
        corrected = {*self._created_ids(at), *self.stopped}
        return failed + sum(
            (self.status(job_id, at) == states.FAILED) - (self._planned_end(job_id, at) == states.FAILED)
            for job_id in corrected
        )

    def task_counts(self, at: SourceTime) -> Counter[str]:
        """Return the number of tasks by status."""
        later = chain(
            self._created_ids(at), self._lane_ids(at), range(self.source.history + 1, self.source.first_lane_job)
        )
        return self._past_tasks + self._tasks_of(later, at)

    @cached_property
    def _past_tasks(self) -> Counter[str]:
        the_end = SourceTime(math.inf, math.inf)
        return self._tasks_of(range(1, self.source.history + 1), the_end)

    def _tasks_of(self, job_ids: Iterable[int], at: SourceTime) -> Counter[str]:
        found = (self.find(job_id, at) for job_id in job_ids)
        return Counter(task.status for job in found if job is not None for task in job.tasks(at.moment))

    def status(self, job_id: int, at: SourceTime) -> str | None:
        """Return a job's status, cheaply for ended jobs."""
        if job_id not in self.stopped:
            planned = self._planned_end(job_id, at)
            if planned is not None:
                return planned
        job = self.find(job_id, at)
        return None if job is None else job.status(at.moment)

    def _planned_end(self, job_id: int, at: SourceTime) -> str | None:
        """Return a planned job's final status, None if unfinished."""
        source = self.source
        if 1 <= job_id <= source.history:
            return states.FAILED if self._failed_long_ago(job_id) else states.DONE
        if not source.lanes or not source.first_lane_job <= job_id < FIRST_CREATED_ID:
            return None
        index, number = divmod(job_id - source.first_lane_job, len(source.lanes))
        lane = source.lanes[number]
        if index >= lane.ended(at.moment):
            return None
        return lane.plan.jobs[index % len(lane.plan.jobs)].outcome

    def _created_ids(self, at: SourceTime) -> Iterator[int]:
        return (made.job.id for made in reversed(self.created) if made.exists(at.seconds))

    def _found(self, job_id: int, at: SourceTime) -> SimulatedJob | None:
        number = job_id - FIRST_CREATED_ID
        if number >= len(self.created) or not self.created[number].exists(at.seconds):
            return None
        return self.created[number].job

    def _lane_ids(self, at: SourceTime) -> Iterator[int]:
        lanes = self.source.lanes
        created = [lane.created(at.moment) for lane in lanes]
        for index in range(max(created, default=0) - 1, -1, -1):
            for number in range(len(lanes) - 1, -1, -1):
                if index < created[number]:
                    yield self.source.first_lane_job + index * len(lanes) + number

    def _lane_job(self, job_id: int, at: SourceTime) -> SimulatedJob | None:
        source = self.source
        index, number = divmod(job_id - source.first_lane_job, len(source.lanes))
        lane = source.lanes[number]
        if index >= lane.created(at.moment):
            return None
        wave, place = divmod(index, len(lane.plan.jobs))
        plan = lane.plan.jobs[place]
        first = source.first_table(wave, lane)
        created = lane.begin(wave) + plan.start
        placement = source.placement(first + plan.tasks[0].table, at.moment)
        return SimulatedJob(job_id, plan, created, first, placement.database if placement else 0)

    @property
    def _failure_step(self) -> int:
        rate = self.source.options.failure_rate
        return max(1, round(1 / rate)) if rate else 0

    def _failed_long_ago(self, job_id: int) -> bool:
        return bool(self._failure_step) and job_id % self._failure_step == 0

    def _history_created(self, job_id: int) -> float:
        lanes_begin = max((lane.plan.seconds for lane in self.source.lanes), default=0.0)
        return -lanes_begin - (self.source.first_lane_job - job_id) * _HISTORY_GAP_SECONDS

    def _past_job(self, job_id: int) -> SimulatedJob:
        """Return a job that ended or stopped before the start."""
        seed = draw(*self.source.seed, _PLAN, job_id)
        stopped = job_id > self.source.history
        wanted = states.INIT if stopped else states.DONE
        database, tables = self._settled(seed % self.source.databases + 1, wanted)
        kind = (DATABASE, TABLES, PARTITIONS)[seed // 64 % 3]
        first = 0 if kind == DATABASE else seed // 256 % len(tables)
        count = {DATABASE: _HISTORY_TASKS, TABLES: 1 + seed // 1024 % 3, PARTITIONS: 1}[kind]
        tables = tables[first : first + count]
        plan = self._past_plan(kind, tables, failed=not stopped and self._failed_long_ago(job_id))
        created = self._history_created(job_id)
        stop_age = plan.begins * (0.5 if draw(seed, _STOP) % 2 else 1.5)
        return SimulatedJob(job_id, plan, created, 1, database, stopped_at=created + stop_age if stopped else None)

    def _past_plan(self, kind: str, tables: list[int], *, failed: bool) -> JobPlan:
        base = self.source.base.tables
        if kind == PARTITIONS and not base[tables[0] - 1].partitions:
            kind = TABLES
        drafts = [TaskPlan(table - 1, range(base[table - 1].units), 0.0, 0.0) for table in tables]
        if failed:
            drafts[-1] = replace(drafts[-1], failed_phase=pick(TASK_PHASES, tables[-1]))
        seconds = self.source.options.job_seconds
        return JobPlan(kind, 0.0, seconds, schedule(drafts, seconds))

    def _settled(self, database: int, status: str) -> tuple[int, list[int]]:
        """Return a nearby database and its settled tables."""
        count = self.source.databases
        for step in range(count):
            number = (database - 1 + step) % count + 1
            tables = range(number, len(self.source.base.tables) + 1, count)
            found = [table for table in tables if self.source.base.tables[table - 1].tally(0.0).status == status]
            if found:
                return number, found
        return database, list(range(database, len(self.source.base.tables) + 1, count))
