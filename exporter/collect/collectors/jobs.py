"""The collector of jobs: ListMmsJobs -> JobsFigures, at a cost that grows with what runs, not with history.

One page, where that holds all jobs of a source. Else four lists, in the order of a job's life, so that a job which
moves on meanwhile is seen twice rather than not at all: INIT and DOING whole, FAILED up to what is shown, and DONE for
its number. The API tells no end time: a job counts as just finished when it was unfinished the last time only.
"""

import dataclasses
import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from exporter.collect.collector import CollectorContext
from exporter.collect.snapshot import JobsStats, JobStats
from exporter.collect.state.job_state import JobLists, JobState, PageTrust, Sought
from exporter.collect.state.source_state import Cached, SourceState
from exporter.config.loading import Jobs
from exporter.errors import (
    AnswerTooLarge,
    CallTimedOut,
    MalformedAnswer,
    MmsError,
    NotFound,
    RequestRejected,
    ServerFailed,
)
from exporter.mms.decoding import Fingerprint, Page
from exporter.mms.listing import Listing
from exporter.mms.models import JOB_STATUSES, UNFINISHED_JOB_STATUSES, Job
from exporter.mms.protocol import PAGE_SIZE, JobFilter
from exporter.mms.times import unix_seconds

OPERATION: Final = "ListMmsJobs"
MAX_LOOKUP_PAGES: Final = 10
"""How far a job is looked for by name before it counts as gone."""
JOBS_PER_LOOKUP: Final = 10
"""A refresh looks for one job of a source by name, and for one more for each so many that were unfinished."""
PARTITIONS_PER_JOB: Final = 1000
"""Of a failed job's partitions, so many are remembered, the highest ids."""


_PERHAPS_OF_THE_PAGE: Final = (AnswerTooLarge, CallTimedOut, MalformedAnswer, RequestRejected, ServerFailed)
"""What goes wrong with one page of all jobs, and may not with lists by status."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one reading of a source's jobs brought."""

    lists: JobLists
    shows_all: bool = False
    """Whether a job that is not there does not exist."""
    failed_page: Page[Job] | None = None
    failed_at: float = 0.0
    sought: Mapping[int, Sought] = field(default_factory=dict)
    knows_all_unfinished: bool = True
    """Whether every unfinished job was read."""
    is_complete: bool = True
    """Whether every job was read that is to be."""
    is_capped: bool = False
    """Whether pages held fewer rows than they were asked to hold."""
    page_fingerprint: Fingerprint | None = None
    page_trust: PageTrust = field(default_factory=PageTrust)


@dataclass(frozen=True, slots=True)
class _BadPage:
    """A page that does not show all jobs, or not what each is up to."""

    total: int | None
    """How many jobs there are, as it says."""


@dataclass(frozen=True, slots=True)
class _FailedJobs:
    """How the list of failed jobs was read."""

    page: Page[Job] | None
    """Its first page; None where the list is incomplete."""
    at: float
    """When all of it was read, in monotonic seconds."""
    is_capped: bool = False


_AS_BEFORE: Final = _Seen(JobLists())
"""What a page brings that is the one from before."""


@dataclass(frozen=True, slots=True)
class JobsReader:
    """Reads the jobs of an account's sources."""

    means: CollectorContext
    settings: Jobs

    def reading(self, source: SourceState) -> Cached[JobState]:
        """Return what is kept of a source's jobs."""
        return source.jobs

    async def read(self, source: SourceState, now: float) -> None:
        """Keep in `source` what its jobs are at `now`. Raises: MmsError."""
        source.jobs.memory = await self._memory(source, now)
        source.jobs.at = now

    async def _memory(self, source: SourceState, now: float) -> JobState:
        """Return what is known of a source's jobs at `now`."""
        name, row, before = source.name, source.row, source.jobs.memory
        if before.is_idle(row, now, self.settings.idle_interval):
            return self._without_lingerers(before, now)
        tries_page = before.may_fit_one_page(now)
        seen = await self._read_one_page(source, now) if tries_page else None
        if seen is _AS_BEFORE:
            return self._without_lingerers(replace(before, row=row, read_at=now, page_trust=PageTrust()), now)
        if not isinstance(seen, _Seen):
            bad_page, seen = seen, await self._read_lists(name.source_id, before, now)
            seen = self._after_bad_page(bad_page, before, seen, now) if bad_page else seen
        failed = _newest(seen.lists.in_state("FAILED"))[: self.settings.max_series_per_source]
        memory = JobState(
            figures=JobsStats(name, seen.lists.counts(), stopped=0, jobs=(), omitted=0),
            row=row if seen.is_complete else None,
            read_at=now,
            unfinished=_as_kept(before.unfinished, seen.lists.unfinished()),
            failed=_as_kept(before.failed, {job.job_id: job for job in failed}),
            failed_page=seen.failed_page,
            failed_at=seen.failed_at,
            finished=self._finished(before, seen, now),
            sought=seen.sought,
            knows_all_unfinished=seen.knows_all_unfinished,
            page_fingerprint=seen.page_fingerprint,
            page_trust=seen.page_trust,
        )
        return self._with_series(memory, before)

    async def _read_one_page(self, source: SourceState, now: float) -> _Seen | _BadPage:
        """Read all jobs of a source at once; _AS_BEFORE where its page says what it said."""
        before = source.jobs.memory
        try:
            changed = await self.means.client.changed_jobs_page(source.name.source_id, before.page_fingerprint)
        except _PERHAPS_OF_THE_PAGE:
            return _BadPage(None)  # remembered only where the lists can be read: else it was not for the page
        if changed is None:
            return _AS_BEFORE
        page = changed.value
        if page.total != len({job.id for job in page.rows}) or not all(job.status for job in page.rows):
            is_full = len(page.rows) >= PAGE_SIZE
            source.jobs.memory = replace(before, page_trust=before.page_trust.after_failure(now, is_capped=is_full))
            return _BadPage(page.total)
        statuses = {job.id: job.status.upper() for job in page.rows if job.status}
        followed = before.followed
        shown = [job for job in page.rows if statuses[job.id] != "DONE" or job.id in followed]
        figures = [*map(self._figures, shown)]
        lists = JobLists()
        lists.add_all(Counter(statuses.values()), figures, followed)
        # What is strange about a job is counted while the job is shown, which may end before the page changes.
        is_strange = any(map(_strange_fields, shown, figures))
        return _Seen(lists, shows_all=True, page_fingerprint=None if is_strange else changed.fingerprint)

    def _after_bad_page(self, page: _BadPage, before: JobState, seen: _Seen, now: float) -> _Seen:
        """Return what lists showed in place of a page."""
        listed = sum(seen.lists.counts().values())
        is_capped = seen.is_capped or listed > PAGE_SIZE
        trust = before.page_trust.after_failure(now, is_capped=is_capped)
        if is_capped or listed == page.total:
            return dataclasses.replace(seen, page_trust=trust)
        self.means.observer.unexpected(OPERATION, ["total"])  # jobs of a status that has no list may be missing
        is_complete = seen.is_complete and before.page_trust.failures > 0
        return dataclasses.replace(seen, page_trust=trust, is_complete=is_complete)

    async def _read_lists(self, source_id: int, before: JobState, now: float) -> _Seen:
        """Read the jobs of a source by status."""
        lists, knows_all_unfinished, is_capped = JobLists(), True, False
        for status in UNFINISHED_JOB_STATUSES:
            listing = await self.means.client.list_jobs(source_id, JobFilter(status=status))
            total = None if listing.total is None else max(listing.total, len(listing.rows))
            lists.add_list(status, total, map(self._figures, listing.rows))
            knows_all_unfinished &= listing.is_consistent
            is_capped |= _is_capped(listing)
        failed = await self._list_failed(source_id, before, lists, now)
        await self._count_done(source_id, before, lists)
        return _Seen(
            lists,
            failed_page=failed.page,
            failed_at=failed.at,
            sought=await self._look_for_missing(source_id, before, lists),
            knows_all_unfinished=knows_all_unfinished,
            is_complete=knows_all_unfinished and failed.page is not None,
            is_capped=is_capped or failed.is_capped,
            page_trust=before.page_trust,
        )

    async def _list_failed(self, source_id: int, before: JobState, lists: JobLists, now: float) -> _FailedJobs:
        """List the failed jobs, as many as can have series.

        They are history: the other pages are read only when the first changed, or says that not all are known.
        """
        filters, most = JobFilter(status="FAILED"), self.settings.max_series_per_source
        first = await self.means.client.jobs_page(source_id, filters)
        is_recent = now - before.failed_at < self.settings.idle_interval
        is_moving = bool(before.failed.keys() & lists.listed_jobs.keys())
        if is_recent and not is_moving and before.knows_failed(first, most):
            lists.add_list("FAILED", first.total, before.failed.values())
            return _FailedJobs(first, before.failed_at)
        listing = await self.means.client.newest_jobs(source_id, filters, most, first)
        lists.add_list("FAILED", listing.total, map(self._figures, listing.rows))
        return _FailedJobs(first if listing.is_consistent else None, now, is_capped=_is_capped(listing))

    async def _count_done(self, source_id: int, before: JobState, lists: JobLists) -> None:
        """Take the number of finished jobs, and of their first page those that were unfinished a moment ago."""
        just_now = before.missing_from(lists).keys() | lists.unfinished().keys()
        page = await self.means.client.jobs_page(
            source_id, JobFilter(status="DONE"), page_size=PAGE_SIZE if just_now else 1, only=just_now
        )
        lists.add_list("DONE", page.total, map(self._figures, page.rows))

    async def _look_for_missing(self, source_id: int, before: JobState, lists: JobLists) -> dict[int, Sought]:
        """Find out what became of some of the jobs that are missing, and return those that are still sought."""
        missing = before.missing_from(lists)
        turns = 1 + len(before.were_unfinished) // JOBS_PER_LOOKUP
        sought: dict[int, Sought] = {}
        for key in list(missing)[turns:]:
            job = missing[key].job
            if job.status is None or job.status in JOB_STATUSES:
                sought[key] = missing[key]
            else:
                lists.add_found(job)  # its status has no list: it is most likely still what it was
        for key in list(missing)[:turns]:
            still_sought = await self._look_for(source_id, missing[key], lists)
            if still_sought is not None:
                sought[key] = still_sought
        return sought

    async def _look_for(self, source_id: int, sought: Sought, lists: JobLists) -> Sought | None:
        """Look at one page for a job by its name, and return how to go on; None where it was found or is gone.

        What cannot be asked about one job says nothing of the others.
        """
        if sought.job.name is None:
            return None
        try:
            page = await self.means.client.jobs_page(source_id, JobFilter(name=sought.job.name), sought.page)
        except (RequestRejected, NotFound):
            return None
        except MmsError:
            return sought
        found = next((job for job in page.rows if job.id == sought.job.job_id), None)
        if found is not None:
            lists.add_found(self._figures(found))
        seen = sought.ids_seen.union(job.id for job in page.rows)
        is_gone = page.total is not None and len(seen) >= page.total
        if found is not None or is_gone or sought.page == MAX_LOOKUP_PAGES:
            return None
        if page.rows:
            return replace(sought, page=sought.page + 1, ids_seen=seen)
        self.means.observer.unexpected(OPERATION, ["total"])
        return Sought(sought.job)

    def _finished(self, before: JobState, seen: _Seen, now: float) -> dict[int, tuple[JobStats, float]]:
        """Return the jobs that linger: those from before, unless they are gone or DONE no more, and new ones."""
        lingered = {key: job for key, (job, _) in before.finished.items()}
        done, were_unfinished = _as_kept(lingered, seen.lists.in_state("DONE")), before.were_unfinished
        lingering = {
            key: (done.get(key, job), since)
            for key, (job, since) in before.lingering(now, self.settings.linger).items()
            if key in done or not (seen.shows_all or key in seen.lists.listed_jobs)
        }
        return {**lingering, **{key: (job, now) for key, job in done.items() if key in were_unfinished}}

    def _without_lingerers(self, before: JobState, now: float) -> JobState:
        """Return `before` without the jobs that have lingered long enough."""
        lingering = before.lingering(now, self.settings.linger)
        if len(lingering) == len(before.finished):
            return before
        return self._with_series(replace(before, finished=lingering), before)

    def _with_series(self, memory: JobState, before: JobState) -> JobState:
        """Return `memory` with the jobs that have series: unfinished ones first, then failed ones, newest first."""
        if memory.figures is None:
            return memory
        finished = {key: job for key, (job, _) in memory.finished.items()}
        ranked = [*_newest(memory.unfinished), *_newest(memory.failed), *_newest(finished)]
        stopped = [job.stopped for job in memory.unfinished.values()]
        most = self.settings.max_series_per_source
        figures = replace(
            memory.figures,
            stopped=None if None in stopped or not memory.knows_all_unfinished else sum(map(bool, stopped)),
            jobs=tuple(sorted(ranked[:most], key=lambda job: job.job_id)),
            omitted=max(0, len(memory.unfinished) - most),
        )
        return replace(memory, figures=before.figures if before.figures == figures else figures)

    def _figures(self, job: Job) -> JobStats:
        figures = JobStats(
            job_id=job.id,
            name=job.name,
            type=job.type,
            task_type=job.config.task_type if job.config else None,
            src_db=job.src_db_name,
            src_schema=job.src_schema_name,
            dst_project=job.dst_db_name,
            dst_schema=job.dst_schema_name,
            status=job.status and job.status.upper(),
            stopped=job.stopped,
            tasks=job.task_num,
            tasks_done=job.task_done,
            created_at=unix_seconds(job.create_time, self.means.account.time_zone),
            eta_at=unix_seconds(job.eta, self.means.account.time_zone),
            partitions=_failed_partitions(job),
        )
        if strange := _strange_fields(job, figures):
            self.means.observer.unexpected(OPERATION, strange)
        return figures


def _is_capped(listing: Listing[Job]) -> bool:
    """Tell whether a list's pages held fewer rows than was asked."""
    return listing.is_consistent and listing.pages > max(1, -(-len(listing.rows) // PAGE_SIZE))


def _failed_partitions(job: Job) -> tuple[int, ...]:
    """Return the ids of what a failed job of kind Partitions was to migrate; no other job's are of use."""
    if job.status is None or job.status.upper() != "FAILED" or job.config is None:
        return ()
    return tuple(heapq.nlargest(PARTITIONS_PER_JOB, job.config.partitions or ()))


def _as_kept(before: Mapping[int, JobStats], jobs: Mapping[int, JobStats]) -> dict[int, JobStats]:
    """Return `jobs`, each as the object from before where it equals that: series are made of those."""
    return {key: kept if (kept := before.get(key)) == job else job for key, job in jobs.items()}


def _newest(jobs: Mapping[int, JobStats]) -> list[JobStats]:
    return sorted(jobs.values(), key=lambda job: (job.created_at or 0.0, job.job_id), reverse=True)


def _strange_fields(job: Job, figures: JobStats) -> list[str]:
    """Return the API's names of the fields whose value has the right type and no known meaning."""
    signs = {
        "status": figures.status is not None and figures.status not in JOB_STATUSES,
        "createTime": job.create_time is not None and figures.created_at is None,
        "eta": job.eta is not None and figures.eta_at is None,
    }
    return [field for field, is_strange in signs.items() if is_strange]
