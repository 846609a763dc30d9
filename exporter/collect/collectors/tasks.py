"""The collector of tasks: ListMmsTasks -> TasksStats.

The tasks of a source are counted by `total`, one call per status. The tasks of an unfinished job are counted by their
rows, which takes fewer calls and shows retries; a job with too many pages is counted by `total` too.
"""

from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, TypeVar

from exporter.collect.collector import CollectorContext, SourcesCollector
from exporter.collect.snapshot import JobStats, JobTasks
from exporter.collect.state.source_state import Cached, SourceState
from exporter.collect.state.task_state import TaskState, Timestamped, all_ended
from exporter.errors import UNAVAILABLE, MmsError, NotFound
from exporter.mms.decoding import Page
from exporter.mms.listing import read_pages
from exporter.mms.models.statuses import UNKNOWN, TaskStatus, is_unknown
from exporter.mms.models.task_records import Task
from exporter.mms.protocol import PAGE_SIZE, TaskFilter

T = TypeVar("T")

OPERATION: Final = "ListMmsTasks"
MAX_PAGES_PER_JOB: Final = 10
"""A job with more pages is counted by `total`, which takes about as many calls."""
MAX_ERRORS: Final = 3
"""After this many errors in one source, its other jobs wait for the next refresh."""


class TasksCollector(SourcesCollector):
    """The collector of tasks of one account."""

    name = "tasks"

    def __init__(self, context: CollectorContext, idle_interval: float, stale_after: float) -> None:
        super().__init__(context)
        self.idle_interval = idle_interval
        self.stale_after = stale_after

    def cached(self, source: SourceState) -> Cached[TaskState]:
        """Return the task state of a source."""
        return source.tasks

    async def read(self, source: SourceState, now: float) -> None:
        """Update the tasks of `source`.

        A missing permission keeps the previous values until they are stale. Raises: MmsError for other failures, after
        everything was tried.
        """
        previous, errors = source.tasks.state, list[MmsError]()
        is_idle = previous.is_idle(source.row, now, self.idle_interval) and not source.jobs.state.unfinished_or_missing
        state = previous.confirmed(now) if is_idle else await self._next_state(source, now, errors)
        source.tasks.state = state.with_stats(source.name, previous.stats)
        source.tasks.at = state.confirmed_at or source.tasks.at
        if errors:
            raise errors[0]

    async def _next_state(self, source: SourceState, now: float, errors: list[MmsError]) -> TaskState:
        """Return the tasks of a source and append to `errors`."""
        previous, source_id, oldest = source.tasks.state, source.name.source_id, now - self.stale_after
        counts = await self._read_or_keep(self._totals(source_id), previous.counts, now, errors)
        jobs: dict[int, Timestamped[JobTasks]] = {}
        for job in _unfinished(source, oldest):
            tasks = previous.jobs.get(job.row.id)
            if len(errors) < MAX_ERRORS:
                tasks = await self._read_or_keep(self._job_tasks(source_id, job), tasks, now, errors)
            if tasks is not None and tasks.at >= oldest:
                jobs[job.row.id] = tasks
        if counts is None or counts.at < oldest:
            return TaskState(jobs=jobs)
        is_stable = counts.at == now and _is_finished(source, counts.value)
        return TaskState(row=source.row if is_stable else None, read_at=now, counts=counts, jobs=jobs)

    async def _read_or_keep(
        self, request: Awaitable[T | None], previous: Timestamped[T] | None, now: float, errors: list[MmsError]
    ) -> Timestamped[T] | None:
        """Return the result of `request`, or `previous` if it fails."""
        try:
            value = await request
        except UNAVAILABLE:
            pass
        except MmsError as error:
            errors.append(error.without_frames())
        else:
            return None if value is None else Timestamped(value, now)
        return previous

    async def _totals(self, source_id: int, job_id: int | None = None) -> Mapping[str, int]:
        """Return the number of tasks by status; missing totals are omitted."""
        # In the order of a task's life: a task that changes its status meanwhile counts twice rather than never.
        totals = {
            status: (await self._page(source_id, TaskFilter(job_id=job_id, status=status), page_size=1)).total
            for status in TaskStatus
        }
        return {status: total for status, total in totals.items() if total is not None}

    async def _job_tasks(self, source_id: int, job: JobStats) -> JobTasks | None:
        """Return the tasks of one job; None if it was deleted."""
        filters = TaskFilter(job_id=job.row.id)
        try:
            first = await self._page(source_id, filters)
        except NotFound:
            return None
        limit = len(first.rows) * MAX_PAGES_PER_JOB
        if first.total is not None and first.total <= limit:
            listing = await read_pages(lambda page: self._page(source_id, filters, page), limit, first)
            if listing.is_consistent:
                return self._count_rows(job, listing.rows)
            self.context.observer.unexpected(OPERATION, ["total"])
        totals = await self._totals(source_id, job.row.id)
        # A stopped job without any task in the lists by status: they hide its tasks.
        is_hidden = job.row.stopped and first.rows and not any(totals.values())
        return JobTasks(job.row.id, job.row.name, {} if is_hidden else totals, retried=None)

    def _count_rows(self, job: JobStats, rows: Sequence[Task]) -> JobTasks:
        """Count the tasks of a job by status; a missing status is UNKNOWN."""
        found = Counter(row.status.name if row.status else UNKNOWN for row in rows)
        if unexpected := sum(is_unknown(row.status) for row in rows):
            self.context.observer.unexpected(OPERATION, ["status"] * unexpected)
        retries = [row.retried_times for row in rows]
        return JobTasks(
            job_id=job.row.id,
            name=job.row.name,
            counts=dict.fromkeys(TaskStatus, 0) | found,
            retried=None if None in retries else sum(map(bool, retries)),
        )

    async def _page(self, source_id: int, filters: TaskFilter, page: int = 1, page_size: int = PAGE_SIZE) -> Page[Task]:
        return await self.permissions.call(
            OPERATION, lambda: self.context.client.tasks_page(source_id, filters, page, page_size)
        )


def _unfinished(source: SourceState, oldest: float) -> list[JobStats]:
    """Return the unfinished jobs with series, unless older than `oldest`."""
    state = source.jobs.state
    if state.stats is None or source.jobs.at < oldest:
        return []
    return [job for job in state.stats.jobs if job.row.id in state.unfinished]


def _is_finished(source: SourceState, counts: Mapping[str, int]) -> bool:
    """Return whether no job, or without the jobs collector no task, is unfinished."""
    if not source.jobs.succeeded:
        return False
    if source.jobs.state.stats is None:  # the jobs collector is disabled
        return all_ended(status for status, count in counts.items() if count)
    return source.jobs.state.is_finished
