"""State of a source's jobs, kept between refreshes, and the lists that one refresh reads. Pure."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from math import inf
from typing import Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collect.snapshot import JobsStats, JobStats
from exporter.collect.state.resolution import RemainingFailures, Resolution
from exporter.config.loading import Jobs
from exporter.mms.decoding import Fingerprint, Page
from exporter.mms.models.records import DataSource, Job
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, UNKNOWN, JobStatus, is_unknown
from exporter.mms.protocol import PAGE_SIZE

PAGE_RETRY_SECONDS: Final = 30.0
"""First backoff after an unusable page of all jobs."""
PAGE_RETRY_GROWTH: Final = 4
"""Factor of the backoff for each further failure in a row."""
PAGE_MAX_RETRY_SECONDS: Final = 3600.0
"""Longest backoff; used at once if pages are capped, or too small for all jobs."""


class PageBackoff(Struct, frozen=True, gc=False):
    """Exponential backoff for reading all jobs of a source as one page."""

    failures: int = 0
    """Failures in a row."""
    retry_at: float = 0.0
    """Monotonic seconds."""

    def after_failure(self, now: float, *, is_capped: bool) -> Self:
        """Return the next backoff; `is_capped` says a page cannot hold all jobs."""
        backoff = min(PAGE_MAX_RETRY_SECONDS, PAGE_RETRY_SECONDS * PAGE_RETRY_GROWTH ** min(self.failures, 10))
        seconds = PAGE_MAX_RETRY_SECONDS if is_capped else backoff
        return replace(self, failures=self.failures + 1, retry_at=now + seconds)


class JobLookup(Struct, frozen=True, gc=False):
    """Search by name for a job that disappeared from the lists."""

    job: JobStats
    page: int = 1
    """The next page to read: the API's filter matches loosely, so the job may be on any."""
    ids_seen: frozenset[int] = frozenset()
    """Job ids on earlier pages."""


class JobState(Struct, frozen=True, gc=False):
    """State of a source's jobs; empty at first."""

    stats: JobsStats | None = None
    row: DataSource | None = None
    """Row of the source when all its jobs were read; None if some were not."""
    read_at: float = 0.0
    """Monotonic seconds."""
    unfinished: Mapping[int, JobStats] = field(default_factory=dict)
    failed: Mapping[int, JobStats] = field(default_factory=dict)
    resolutions: Mapping[int, Resolution] = field(default_factory=dict)
    """What is known of the scope of each failed job."""
    failed_page: Page[Job] | None = None
    """First page of the failed jobs; None if their list was incomplete."""
    failed_at: float = 0.0
    """When the list of failed jobs was read, in monotonic seconds."""
    finished: Mapping[int, tuple[JobStats, float]] = field(default_factory=dict)
    """Lingering jobs, each with the monotonic second at which it was first seen finished."""
    lookups: Mapping[int, JobLookup] = field(default_factory=dict)
    """Jobs that were last seen unfinished and have not been found since."""
    has_all_unfinished: bool = True
    """Whether every unfinished job was read."""
    hides_stopped: bool = False
    """Whether the lists by status omitted stopped jobs."""
    stopped_at: float = -inf
    """When it was last checked whether they do, in monotonic seconds."""
    page_fingerprint: Fingerprint | None = None
    """Fingerprint of the page of all jobs: the same page means the same jobs."""
    page_backoff: PageBackoff = PageBackoff()

    def may_fit_one_page(self, now: float) -> bool:
        """Return whether to try reading all jobs as one page."""
        known = sum(self.stats.counts.values()) if self.stats else 0
        return known <= PAGE_SIZE and now >= self.page_backoff.retry_at

    def is_failed_page_current(self, first: Page[Job], wanted: int) -> bool:
        """Return whether the failed jobs, up to `wanted`, match this first page."""
        return first == self.failed_page and len(self.failed) == min(wanted, first.total or 0)

    @property
    def tracked_ids(self) -> set[int]:
        """Return the ids of the jobs to follow whatever their status is."""
        return {*self.unfinished_or_missing, *self.failed, *self.finished}

    @property
    def unfinished_or_missing(self) -> dict[int, JobStats]:
        """Return the jobs that may still run, longest missing first."""
        return {**{key: each.job for key, each in self.lookups.items()}, **self.unfinished}

    def is_idle(self, row: DataSource | None, now: float, idle_interval: float) -> bool:
        """Return whether the jobs need no read before `idle_interval` ends."""
        is_unchanged = self.is_finished and self.row == row
        return is_unchanged and now - self.read_at < idle_interval

    @property
    def is_finished(self) -> bool:
        """Return whether all jobs were read and none is unfinished."""
        return self.row is not None and self.has_all_unfinished and not self.unfinished and not self.lookups

    def lingering(self, now: float, linger: float) -> dict[int, tuple[JobStats, float]]:
        """Return the jobs that finished less than `linger` seconds ago."""
        return {key: (job, since) for key, (job, since) in self.finished.items() if now - since < linger}

    def invalidated(self) -> Self:
        """Return the same values, with all lists to be read again."""
        return replace(self, row=None, failed_page=None, page_fingerprint=None, stopped_at=-inf)

    def resolved(self, remaining: Sequence[RemainingFailures], settings: Jobs, now: float) -> Self:
        """Return the state with what the remaining failures say of the failed jobs."""
        found = {key: self.resolutions[key].updated(job, remaining, now) for key, job in self.failed.items()}
        failed = with_verdicts(self.failed.values(), found)
        return replace(self, resolutions=found, failed=failed).with_series(self, settings, now)

    def with_series(self, previous: Self, settings: Jobs, now: float) -> Self:
        """Return the state with the jobs that have series; equal stats stay the same object."""
        if self.stats is None:
            return self
        finished = {key: job for key, (job, _) in self.finished.items()}
        # Unfinished jobs come first, then failed and finished ones, each newest first.
        failed = self._shown_failed(now - settings.linger)
        ranked = [*newest_first(self.unfinished), *newest_first(failed), *newest_first(finished)]
        stopped = [job.row.stopped for job in self.unfinished.values()]
        stats = replace(
            self.stats,
            stopped=None if None in stopped or not self.has_all_unfinished else sum(map(bool, stopped)),
            jobs=tuple(sorted(ranked[: settings.max_series_per_source], key=lambda job: job.row.id)),
            omitted=max(0, len(self.unfinished) - settings.max_series_per_source),
            resolved=sum(job.unresolved is False for job in self.failed.values()),
        )
        return replace(self, stats=previous.stats if previous.stats == stats else stats)

    def _shown_failed(self, oldest: float) -> dict[int, JobStats]:
        """Return the failed jobs, unless resolved before `oldest`."""
        resolved_at = {key: known.resolved_at for key, known in self.resolutions.items()}
        return {key: job for key, job in self.failed.items() if (at := resolved_at[key]) is None or at > oldest}

    def without_lingering_times(self) -> Self:
        """Return the state without the times of lingering jobs."""
        # Lists by status do not return lingering jobs, so their times would stay in the old time zone.
        finished = {
            key: (replace(job, created_at=None, eta_at=None), since) for key, (job, since) in self.finished.items()
        }
        return replace(self, finished=finished)

    def missing_from(self, lists: "JobLists") -> dict[int, JobLookup]:
        """Return lookups of unfinished jobs absent from `lists`, longest missing first."""
        missing = (key for key in self.unfinished_or_missing if key not in lists.listed_jobs)
        return {key: self.lookups.get(key) or JobLookup(self.unfinished[key]) for key in missing}


class ListedJob(Struct, frozen=True, gc=False):
    """A job and the list it was in."""

    job: JobStats
    list_status: str | None
    """Status of the list; UNKNOWN for a page of all jobs; None for a lookup by name."""

    @property
    def status(self) -> str | None:
        """Return the job's own status, or else that of the list."""
        return self.job.row.status or self.list_status

    @property
    def matches_list(self) -> bool:
        """Return whether the job's own status is that of the list."""
        return self.job.row.status == self.list_status


class JobLists:
    """The lists that one refresh reads, merged."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.listed_jobs: dict[int, ListedJob] = {}

    def add_list(self, status: str, total: int | None, jobs: Iterable[JobStats]) -> None:
        """Add the list of jobs in `status`."""
        self.totals[status] = total
        for job in jobs:
            listed, earlier = ListedJob(job, status), self.listed_jobs.get(job.row.id)
            # A job that was in another list changed its status between the calls: it counts here only.
            other = earlier.list_status if earlier and earlier.matches_list and listed.matches_list else None
            if other not in (None, status):
                total_before = self.totals[other]
                self.totals[other] = total_before and total_before - 1
            self.listed_jobs[job.row.id] = listed

    def add_all(self, counts: Counter[str], jobs: Iterable[JobStats], tracked_ids: Container[int]) -> None:
        """Add a page of all jobs: counts by status, and the relevant jobs."""
        self.totals = {**dict.fromkeys(JobStatus, 0), **counts}
        for job in jobs:
            # A job with an unknown status may have ended long ago: it is relevant only if it is tracked.
            if not is_unknown(job.row.status) or job.row.id in tracked_ids:
                self.listed_jobs[job.row.id] = ListedJob(job, job.row.status and job.row.status.name)

    def omitted_by_lists(self, stopped: Iterable[JobStats]) -> list[JobStats]:
        """Return the stopped jobs that are in none of the lists by status."""
        by_status = {key for key, listed in self.listed_jobs.items() if listed.list_status is not None}
        return [job for job in stopped if job.row.stopped and job.row.status and job.row.id not in by_status]

    def add_hidden(self, jobs: Iterable[JobStats]) -> None:
        """Add jobs that the lists by status and their totals do not have."""
        for job in jobs:
            status = job.row.status.name if job.row.status else UNKNOWN
            total = self.totals.get(status, 0)
            self.totals[status] = None if total is None else total + 1
            self.listed_jobs[job.row.id] = ListedJob(job, status)

    @property
    def has_found_stopped(self) -> bool:
        """Return whether a lookup found a stopped job that no list had."""
        found = (listed.job.row for listed in self.listed_jobs.values() if listed.list_status is None)
        return any(row.stopped and row.status in UNFINISHED_JOB_STATUSES for row in found)

    def add_found(self, job: JobStats) -> None:
        """Add a job that was looked up by name."""
        self.listed_jobs[job.row.id] = ListedJob(job, None)

    def in_status(self, status: str) -> dict[int, JobStats]:
        """Return the jobs in `status`."""
        return {key: listed.job for key, listed in self.listed_jobs.items() if listed.status == status}

    def unfinished(self) -> dict[int, JobStats]:
        """Return the jobs neither DONE nor FAILED, unknown statuses included."""
        ended = JobStatus.DONE, JobStatus.FAILED
        return {key: listed.job for key, listed in self.listed_jobs.items() if listed.status not in ended}

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by status.

        UNKNOWN is absent rather than 0: no list by status shows such jobs, so there may be some.
        """
        counts = {status: total for status, total in self.totals.items() if total is not None}
        looked_up = [listed for listed in self.listed_jobs.values() if listed.list_status is None]
        unknown = sum(listed.job.row.status is None or is_unknown(listed.job.row.status) for listed in looked_up)
        return {**counts, UNKNOWN: unknown} if unknown else counts


def newest_first(jobs: Mapping[int, JobStats]) -> list[JobStats]:
    """Return the jobs, the youngest first."""
    return sorted(jobs.values(), key=lambda job: (job.created_at or 0.0, job.row.id), reverse=True)


def with_verdicts(jobs: Iterable[JobStats], resolutions: Mapping[int, Resolution]) -> dict[int, JobStats]:
    """Return failed jobs by id with what is known of their scope."""
    verdicts = {key: known.unresolved for key, known in resolutions.items()}
    return {
        job.row.id: job if job.unresolved is (verdict := verdicts[job.row.id]) else replace(job, unresolved=verdict)
        for job in jobs
    }
