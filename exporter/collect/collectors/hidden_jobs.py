"""Stopped jobs that lists by status may hide: whether they do, and the jobs that they hide.

UNVERIFIED whether lists by status have stopped jobs, so each account finds out and is right either way. `check` on a
live account would settle it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from exporter.collect.snapshot import JobStats
from exporter.collect.state.job_state import JobLists, JobState
from exporter.errors import AnswerTooLarge, RequestRejected
from exporter.mms.client import Client
from exporter.mms.models.records import Job
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES
from exporter.mms.protocol import JobFilter


@dataclass(slots=True)
class HiddenJobs:
    """What is known of an account's lists by status."""

    client: Client
    stats_of: Callable[[Job], JobStats]
    are_found: bool = False
    """Whether the lists of any data source hid stopped jobs at their last check."""

    async def add(
        self, source_id: int, previous: JobState, lists: JobLists, now: float, *, is_due: bool
    ) -> tuple[bool, float]:
        """Add the hidden jobs to `lists`; return whether there are any and when that was checked.

        Without `is_due`, the last check of the account decides. A list that is incomplete, or a check without a result,
        has to be read again: the time is -inf. Raises: MmsError.
        """
        filters = JobFilter(stopped=1)
        try:
            first = await self.client.jobs_page(source_id, filters)
        except (RequestRejected, AnswerTooLarge):  # this server has no such filter, or ignores it
            return False, now
        if not all(job.stopped for job in first.rows):  # this server ignores the filter
            return False, now
        listing = await self.client.list_jobs(source_id, filters, first)
        omitted = lists.omitted_by_lists(map(self.stats_of, listing.rows))
        checked = await self._are_hidden(source_id, omitted) if is_due and omitted else None
        if self.are_found if checked is None else checked:
            lists.add_hidden(omitted)
        self.are_found |= checked is True
        if not listing.is_consistent or (is_due and omitted and checked is None):
            return previous.hides_stopped if checked is None else checked, -inf
        if checked is not None or not omitted:
            return checked is True, now
        return previous.hides_stopped, previous.stopped_at

    async def _are_hidden(self, source_id: int, stopped: Sequence[JobStats]) -> bool | None:
        # None without a result, for example if the job changed meanwhile. A job may also be absent from the lists
        # because its status changed while they were read, so one job is looked up with and without its status.
        row = max((job.row for job in stopped), key=lambda row: (row.status in UNFINISHED_JOB_STATUSES, row.id))
        if row.name is None:
            return None
        named = await self.client.jobs_page(source_id, JobFilter(name=row.name, status=row.status))
        if any(job.id == row.id for job in named.rows):
            return False
        if named.total != len(named.rows):
            return None  # a row may be missing
        found = await self.client.jobs_page(source_id, JobFilter(name=row.name))
        is_as_listed = any((job.id, job.status, job.stopped) == (row.id, row.status, True) for job in found.rows)
        return True if is_as_listed else None
