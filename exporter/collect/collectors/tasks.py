"""The collector of tasks: ListMmsTasks -> TasksFigures, so that failures can be taken over tasks as the vendor does.

A source's tasks are counted by `total`, one call a status. Those of an unfinished job are counted by their rows, which
tell more for fewer calls, or like the source's where they fill too many pages.
"""

from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from exporter.collect.collector import CollectorContext, SourcesCollector
from exporter.collect.permissions import Permissions
from exporter.collect.snapshot import JobStats, JobTasks
from exporter.collect.state.job_state import UNKNOWN
from exporter.collect.state.source_state import Cached, SourceState
from exporter.collect.state.task_state import Known, TaskState, are_over
from exporter.errors import MmsError, NotFound, PermissionRefused
from exporter.mms.decoding import Page
from exporter.mms.listing import read_pages
from exporter.mms.models import TASK_STATUSES, Task
from exporter.mms.protocol import PAGE_SIZE, TaskFilter

T = TypeVar("T")

OPERATION: Final = "ListMmsTasks"
MAX_PAGES_PER_JOB: Final = 10
"""A job whose tasks fill more is counted by status, which costs about as many calls."""
MAX_ERRORS: Final = 3
"""After so many in one source, its other jobs wait for the next refresh."""


@dataclass(frozen=True, slots=True)
class TasksReader:
    """Reads the tasks of an account's sources."""

    means: CollectorContext
    permissions: Permissions
    idle_interval: float
    stale_after: float

    def reading(self, source: SourceState) -> Cached[TaskState]:
        """Return what is kept of a source's tasks."""
        return source.tasks

    async def read(self, source: SourceState, now: float) -> None:
        """Keep in `source` what its tasks are at `now`.

        What is not permitted counts as nothing that could be read: its last values stay until they are stale. Raises:
        MmsError for anything else that could not be read, after the rest was.
        """
        before, errors = source.tasks.memory, list[MmsError]()
        is_idle = before.is_idle(source.row, now, self.idle_interval) and not source.jobs.memory.were_unfinished
        memory = before.holding(now) if is_idle else await self._memory(source, now, errors)
        source.tasks.memory = memory.with_figures(source.name, before.figures)
        source.tasks.at = memory.confirmed_at or source.tasks.at
        if errors:
            raise errors[0]

    async def _memory(self, source: SourceState, now: float, errors: list[MmsError]) -> TaskState:
        """Return what is known of a source's tasks at `now`, and add to `errors` what could not be read."""
        before, source_id, oldest = source.tasks.memory, source.name.source_id, now - self.stale_after
        counts = await self._known(self._totals(source_id), before.counts, now, errors)
        jobs: dict[int, Known[JobTasks]] = {}
        for job in _unfinished(source, oldest):
            known = before.jobs.get(job.job_id)
            if len(errors) < MAX_ERRORS:
                known = await self._known(self._of_job(source_id, job), known, now, errors)
            if known is not None and known.at >= oldest:
                jobs[job.job_id] = known
        if counts is None or counts.at < oldest:
            return TaskState(jobs=jobs)
        is_settled = counts.at == now and _is_at_rest(source, counts.value)
        return TaskState(row=source.row if is_settled else None, read_at=now, counts=counts, jobs=jobs)

    async def _known(
        self, reading: Awaitable[T | None], before: Known[T] | None, now: float, errors: list[MmsError]
    ) -> Known[T] | None:
        """Return what `reading` brings; where it fails, what was known before."""
        try:
            value = await reading
        except PermissionRefused:
            pass
        except MmsError as error:
            errors.append(error.with_traceback(None))  # whose frames would hold it and all of the answer
        else:
            return None if value is None else Known(value, now)
        return before

    async def _totals(self, source_id: int, job_id: int | None = None) -> Mapping[str, int]:
        """Return the number of tasks by status, of a source or of one job; a number that MMS leaves out is not there.

        In the order of a task's life, so that one which moves on meanwhile is counted twice rather than not at all.
        """
        totals = {
            status: (await self._page(source_id, TaskFilter(job_id=job_id, status=status), page_size=1)).total
            for status in TASK_STATUSES
        }
        return {status: total for status, total in totals.items() if total is not None}

    async def _of_job(self, source_id: int, job: JobStats) -> JobTasks | None:
        """Return the tasks of one job; None where there is no such job any more."""
        filters = TaskFilter(job_id=job.job_id)
        try:
            first = await self._page(source_id, filters)
        except NotFound:
            return None
        most = len(first.rows) * MAX_PAGES_PER_JOB
        if first.total is not None and first.total <= most:
            listing = await read_pages(lambda page: self._page(source_id, filters, page), most, first)
            if listing.is_consistent:
                return self._counted(job, listing.rows)
            self.means.observer.unexpected(OPERATION, ["total"])
        return JobTasks(job.job_id, job.name, await self._totals(source_id, job.job_id), retried=None)

    def _counted(self, job: JobStats, rows: Sequence[Task]) -> JobTasks:
        """Return what all the rows of a job's tasks say; one without a status counts as UNKNOWN."""
        statuses = [row.status.upper() if row.status else UNKNOWN for row in rows]
        found = Counter(status if status in TASK_STATUSES else UNKNOWN for status in statuses)
        if strange := sum(row.status is not None and row.status.upper() not in TASK_STATUSES for row in rows):
            self.means.observer.unexpected(OPERATION, ["status"] * strange)
        retries = [row.retried_times for row in rows]
        return JobTasks(
            job_id=job.job_id,
            name=job.name,
            counts=dict.fromkeys(TASK_STATUSES, 0) | found,
            retried=None if None in retries else sum(map(bool, retries)),
        )

    async def _page(self, source_id: int, filters: TaskFilter, page: int = 1, page_size: int = PAGE_SIZE) -> Page[Task]:
        return await self.permissions.ask(
            OPERATION, lambda: self.means.client.tasks_page(source_id, filters, page, page_size)
        )


def tasks_collector(means: CollectorContext, idle_interval: float, stale_after: float) -> SourcesCollector:
    """Return the collector of tasks of one account; what is not permitted is trouble of it, not of a source."""
    permissions = Permissions(means.clock.monotonic)
    return SourcesCollector("tasks", TasksReader(means, permissions, idle_interval, stale_after), means, permissions)


def _unfinished(source: SourceState, oldest: float) -> list[JobStats]:
    """Return the unfinished jobs that have series of their own; none where jobs are not read, or not since `oldest`."""
    memory = source.jobs.memory
    if memory.figures is None or source.jobs.at < oldest:
        return []
    return [job for job in memory.figures.jobs if job.job_id in memory.unfinished]


def _is_at_rest(source: SourceState, counts: Mapping[str, int]) -> bool:
    """Tell whether no job of a source is unfinished; where jobs are not read, whether no task is."""
    if not source.jobs.succeeded:
        return False
    if source.jobs.memory.figures is None:
        return are_over(status for status, count in counts.items() if count)
    return source.jobs.memory.is_at_rest
