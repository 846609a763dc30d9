"""The collector of jobs: ListMmsJobs -> JobsStats; its cost depends on the running jobs, not on the history.

Reads one page if that holds all jobs of a source. Else it reads four lists in the order of a job's life, so that a job
changing its status meanwhile is seen twice rather than never: INIT and DOING completely, FAILED up to the series limit,
DONE for its total. The API has no end time: a job just finished if the previous refresh saw it unfinished.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Final

from msgspec.structs import replace

from exporter.collect.collector import CollectorContext, SourcesCollector
from exporter.collect.collectors.hidden_jobs import HiddenJobs
from exporter.collect.snapshot import JobsStats, JobStats
from exporter.collect.state.job_state import JobLists, JobLookup, JobState, PageBackoff, newest_first, with_verdicts
from exporter.collect.state.resolution import Resolution, kept_row
from exporter.collect.state.source_state import Cached, SourceState
from exporter.config.loading import Jobs
from exporter.errors import (
    AnswerTooLarge,
    CallTimedOut,
    ExporterError,
    MalformedAnswer,
    MmsError,
    NotFound,
    OperationUnsupported,
    RequestRejected,
    ServerFailed,
)
from exporter.mms.decoding import Fingerprint, Page
from exporter.mms.listing import Listing
from exporter.mms.models.records import Job
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, JobStatus, is_unknown
from exporter.mms.models.times import eta_seconds, unix_seconds
from exporter.mms.protocol import PAGE_SIZE, JobFilter

OPERATION: Final = "ListMmsJobs"
MAX_LOOKUP_PAGES: Final = 10
"""Limit of pages of a lookup by name; then the job counts as deleted."""
JOBS_PER_LOOKUP: Final = 10
"""A refresh looks up one missing job per source, plus one per this number of unfinished jobs."""

_PAGE_ERRORS: Final = (AnswerTooLarge, CallTimedOut, MalformedAnswer, RequestRejected, ServerFailed)
"""Errors of a page of all jobs that lists by status may not have."""


@dataclass(frozen=True, slots=True)
class _ReadJobs:
    """Jobs of a source as one refresh read them."""

    lists: JobLists
    has_all_jobs: bool = False
    """Whether a job that is absent from `lists` does not exist."""
    failed_page: Page[Job] | None = None
    failed_at: float = 0.0
    lookups: Mapping[int, JobLookup] = field(default_factory=dict)
    has_all_unfinished: bool = True
    """Whether every unfinished job was read."""
    is_complete: bool = True
    """Whether all lists were complete."""
    hides_stopped: bool = False
    """Whether the lists by status omitted stopped jobs."""
    stopped_at: float = -inf
    """When it was last checked whether they do, in monotonic seconds."""
    is_capped: bool = False
    """Whether MMS returned smaller pages than requested."""
    page_fingerprint: Fingerprint | None = None
    page_backoff: PageBackoff = field(default_factory=PageBackoff)


@dataclass(frozen=True, slots=True)
class _UnusablePage:
    """A page that lacks jobs or statuses, or could not be read."""

    total: int | None
    """Number of jobs that the page states; None if unknown."""


@dataclass(frozen=True, slots=True)
class _FailedJobs:
    """Result of listing the failed jobs."""

    page: Page[Job] | None
    """First page; None if the list is incomplete."""
    at: float
    """When the list was read, in monotonic seconds."""
    is_capped: bool = False


_UNCHANGED: Final = _ReadJobs(JobLists())
"""Result of reading a page that did not change."""


class JobsCollector(SourcesCollector):
    """The collector of jobs of one account."""

    name = "jobs"

    def __init__(self, context: CollectorContext, settings: Jobs) -> None:
        super().__init__(context)
        self.settings = settings
        self._hidden = HiddenJobs(context.client, self._stats)

    async def collect(self) -> list[ExporterError]:
        """Read the jobs of every source."""
        self._hidden.are_found = any(each.jobs.state.hides_stopped for each in self.context.sources.by_id.values())
        return await super().collect()

    def cached(self, source: SourceState) -> Cached[JobState]:
        """Return the job state of a source."""
        return source.jobs

    async def read(self, source: SourceState, now: float) -> None:
        """Update the jobs of `source`. Raises: MmsError."""
        # Without the operation, the values stay until they are stale. A missing permission is an error of its source,
        # because a policy can refuse single data sources.
        with suppress(OperationUnsupported):
            source.jobs.state = await self.permissions.call(
                OPERATION, lambda: self._next_state(source, now), (OperationUnsupported,)
            )
            source.jobs.at = now

    async def _next_state(self, source: SourceState, now: float) -> JobState:
        name, row, previous = source.name, source.row, source.jobs.state
        if previous.is_idle(row, now, self.settings.idle_interval):
            return self._without_expired(previous, now)
        read = await self._read_one_page(source, now) if previous.may_fit_one_page(now) else None
        if read is _UNCHANGED:
            return self._without_expired(replace(previous, row=row, read_at=now, page_backoff=PageBackoff()), now)
        if not isinstance(read, _ReadJobs):
            unusable, read = read, await self._read_lists(name.source_id, previous, now)
            read = self._after_unusable(unusable, previous, read, now) if unusable else read
        failed = newest_first(read.lists.in_status(JobStatus.FAILED))[: self.settings.max_series_per_source]
        new = Resolution(-inf if previous.stats is None else now)
        resolutions = {job.row.id: previous.resolutions.get(job.row.id, new) for job in failed}
        state = JobState(
            stats=JobsStats(name, read.lists.counts(), stopped=0, jobs=(), omitted=0),
            row=row if read.is_complete else None,
            read_at=now,
            unfinished=_reuse_equal(previous.unfinished, read.lists.unfinished()),
            failed=_reuse_equal(previous.failed, with_verdicts(failed, resolutions)),
            resolutions=resolutions,
            failed_page=read.failed_page,
            failed_at=read.failed_at,
            finished=self._finished(previous, read, now),
            lookups=read.lookups,
            has_all_unfinished=read.has_all_unfinished,
            hides_stopped=read.hides_stopped,
            stopped_at=read.stopped_at,
            page_fingerprint=read.page_fingerprint,
            page_backoff=read.page_backoff,
        )
        return state.with_series(previous, self.settings, now)

    async def _read_one_page(self, source: SourceState, now: float) -> _ReadJobs | _UnusablePage:
        """Read all jobs of a source as one page."""
        previous = source.jobs.state
        try:
            changed = await self.context.client.changed_jobs_page(source.name.source_id, previous.page_fingerprint)
        except _PAGE_ERRORS:
            return _UnusablePage(None)  # the caller starts a backoff only if the lists can be read
        if changed is None:
            return _UNCHANGED
        page = changed.value
        if page.total != len({job.id for job in page.rows}) or not all(job.status for job in page.rows):
            page_backoff = previous.page_backoff.after_failure(now, is_capped=len(page.rows) >= PAGE_SIZE)
            source.jobs.state = replace(previous, page_backoff=page_backoff)
            return _UnusablePage(page.total)
        statuses = {job.id: job.status.name for job in page.rows if job.status}
        tracked_ids = previous.tracked_ids
        shown = [job for job in page.rows if job.status != JobStatus.DONE or job.id in tracked_ids]
        stats = [*map(self._stats, shown)]
        lists = JobLists()
        lists.add_all(Counter(statuses.values()), stats, tracked_ids)
        # Unexpected values count at each refresh while the job has series, so the page must not be skipped.
        has_unexpected = any(map(_unexpected_fields, shown, stats))
        return _ReadJobs(lists, has_all_jobs=True, page_fingerprint=None if has_unexpected else changed.fingerprint)

    def _after_unusable(self, page: _UnusablePage, previous: JobState, read: _ReadJobs, now: float) -> _ReadJobs:
        """Return the lists read instead of a page, with its backoff."""
        listed = sum(read.lists.counts().values())
        is_capped = read.is_capped or listed > PAGE_SIZE
        page_backoff = previous.page_backoff.after_failure(now, is_capped=is_capped)
        if is_capped or listed == page.total:
            return dataclasses.replace(read, page_backoff=page_backoff)
        self.context.observer.unexpected(OPERATION, ["total"])  # jobs with an unknown status may be missing
        is_complete = read.is_complete and previous.page_backoff.failures > 0
        return dataclasses.replace(read, page_backoff=page_backoff, is_complete=is_complete)

    async def _read_lists(self, source_id: int, previous: JobState, now: float) -> _ReadJobs:
        """Read the jobs of a source as lists by status."""
        lists, has_all_unfinished, is_capped = JobLists(), True, False
        for status in UNFINISHED_JOB_STATUSES:
            listing = await self.context.client.list_jobs(source_id, JobFilter(status=status))
            total = None if listing.total is None else max(listing.total, len(listing.rows))
            lists.add_list(status, total, map(self._stats, listing.rows))
            has_all_unfinished &= listing.is_consistent
            is_capped |= _is_capped(listing)
        failed = await self._list_failed(source_id, previous, lists, now)
        await self._count_done(source_id, previous, lists)
        hides_stopped, stopped_at = previous.hides_stopped, previous.stopped_at
        is_due = now - stopped_at >= self.settings.idle_interval
        if is_due or self._hidden.are_found:
            hides_stopped, stopped_at = await self._hidden.add(source_id, previous, lists, now, is_due=is_due)
        lookups = await self._look_up_missing(source_id, previous, lists)
        if lists.has_found_stopped:
            hides_stopped, stopped_at = await self._hidden.add(source_id, previous, lists, now, is_due=True)
        return _ReadJobs(
            lists,
            failed_page=failed.page,
            failed_at=failed.at,
            lookups={key: lookup for key, lookup in lookups.items() if key not in lists.listed_jobs},
            has_all_unfinished=has_all_unfinished,
            hides_stopped=hides_stopped,
            stopped_at=stopped_at,
            is_complete=has_all_unfinished and failed.page is not None and stopped_at > -inf,
            is_capped=is_capped or failed.is_capped,
            page_backoff=previous.page_backoff,
        )

    async def _list_failed(self, source_id: int, previous: JobState, lists: JobLists, now: float) -> _FailedJobs:
        """List the failed jobs, up to the series limit."""
        filters, limit = JobFilter(status=JobStatus.FAILED), self.settings.max_series_per_source
        first = await self.context.client.jobs_page(source_id, filters)
        # Failed jobs rarely change: further pages are read only if the first one changed or some jobs are unknown.
        is_recent = now - previous.failed_at < self.settings.idle_interval
        has_restarted = bool(previous.failed.keys() & lists.listed_jobs.keys())
        if is_recent and not has_restarted and previous.is_failed_page_current(first, limit):
            lists.add_list(JobStatus.FAILED, first.total, previous.failed.values())
            return _FailedJobs(first, previous.failed_at)
        listing = await self.context.client.newest_jobs(source_id, filters, limit, first)
        lists.add_list(JobStatus.FAILED, listing.total, map(self._stats, listing.rows))
        return _FailedJobs(first if listing.is_consistent else None, now, is_capped=_is_capped(listing))

    async def _count_done(self, source_id: int, previous: JobState, lists: JobLists) -> None:
        """Read the total of DONE jobs, and those that just finished."""
        maybe_finished = previous.missing_from(lists).keys() | lists.unfinished().keys()
        page = await self.context.client.jobs_page(
            source_id,
            JobFilter(status=JobStatus.DONE),
            page_size=PAGE_SIZE if maybe_finished else 1,
            only=maybe_finished,
        )
        lists.add_list(JobStatus.DONE, page.total, map(self._stats, page.rows))

    async def _look_up_missing(self, source_id: int, previous: JobState, lists: JobLists) -> dict[int, JobLookup]:
        """Look up some of the missing jobs; return the unfinished lookups."""
        missing = previous.missing_from(lists)
        limit = 1 + len(previous.unfinished_or_missing) // JOBS_PER_LOOKUP
        pending: dict[int, JobLookup] = {}
        for key in list(missing)[limit:]:
            job = missing[key].job
            if is_unknown(job.row.status):
                lists.add_found(job)  # no list contains its status: assume that it is unchanged
            else:
                pending[key] = missing[key]
        for key in list(missing)[:limit]:
            lookup = await self._look_up(source_id, missing[key], lists)
            if lookup is not None:
                pending[key] = lookup
        return pending

    async def _look_up(self, source_id: int, lookup: JobLookup, lists: JobLists) -> JobLookup | None:
        """Read one page of a lookup; return the next, None when done."""
        if lookup.job.row.name is None:
            return None
        try:
            page = await self.context.client.jobs_page(source_id, JobFilter(name=lookup.job.row.name), lookup.page)
        except (RequestRejected, NotFound):  # this name cannot be looked up; the other jobs can
            return None
        except MmsError:
            return lookup
        found = next((job for job in page.rows if job.id == lookup.job.row.id), None)
        if found is not None:
            lists.add_found(self._stats(found))
        ids_seen = lookup.ids_seen.union(job.id for job in page.rows)
        is_exhausted = page.total is not None and len(ids_seen) >= page.total
        if found is not None or is_exhausted or lookup.page == MAX_LOOKUP_PAGES:
            return None
        if page.rows:
            return replace(lookup, page=lookup.page + 1, ids_seen=ids_seen)
        self.context.observer.unexpected(OPERATION, ["total"])
        return JobLookup(lookup.job)

    def _finished(self, previous: JobState, read: _ReadJobs, now: float) -> dict[int, tuple[JobStats, float]]:
        """Return the lingering jobs: earlier ones still DONE, and new ones."""
        lingered = {key: job for key, (job, _) in previous.finished.items()}
        done = _reuse_equal(lingered, read.lists.in_status(JobStatus.DONE))
        new = {key: (job, now) for key, job in done.items() if key in previous.unfinished_or_missing}
        lingering = {
            key: (done.get(key, job), since)
            for key, (job, since) in previous.lingering(now, self.settings.linger).items()
            if key in done or not (read.has_all_jobs or key in read.lists.listed_jobs)
        }
        return {**lingering, **new}

    def _without_expired(self, previous: JobState, now: float) -> JobState:
        """Return `previous` without jobs whose linger time has ended."""
        lingering = previous.lingering(now, self.settings.linger)
        if len(lingering) == len(previous.finished):
            return previous
        return replace(previous, finished=lingering).with_series(previous, self.settings, now)

    def _stats(self, job: Job) -> JobStats:
        zone = self.context.account.time_zone
        stats = JobStats(kept_row(job), unix_seconds(job.create_time, zone), eta_seconds(job.eta, zone))
        if unexpected := _unexpected_fields(job, stats):
            self.context.observer.unexpected(OPERATION, unexpected)
        return stats


def _is_capped(listing: Listing[Job]) -> bool:
    """Return whether MMS returned smaller pages than requested."""
    return listing.is_consistent and listing.pages > max(1, -(-len(listing.rows) // PAGE_SIZE))


def _reuse_equal(previous: Mapping[int, JobStats], jobs: Mapping[int, JobStats]) -> dict[int, JobStats]:
    """Return `jobs`, with the previous object for each equal job."""
    return {key: kept if (kept := previous.get(key)) == job else job for key, job in jobs.items()}


def _unexpected_fields(job: Job, stats: JobStats) -> list[str]:
    """Return the API names of fields with unknown or unparsable values."""
    is_unexpected = {
        "status": is_unknown(job.status),
        "createTime": job.create_time is not None and stats.created_at is None,
        "eta": job.eta is not None and stats.eta_at is None,
    }
    return [field for field, unexpected in is_unexpected.items() if unexpected]
