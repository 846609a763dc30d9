"""What is known of a source's jobs: what the lists of one refresh say, and what is remembered until the next. Pure."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

from msgspec import Struct, field
from msgspec.structs import replace

from exporter.collect.snapshot import JobsStats, JobStats, SourceName
from exporter.mms.decoding import Fingerprint, Page
from exporter.mms.models import JOB_STATUSES, DataSource, Job
from exporter.mms.protocol import PAGE_SIZE

UNKNOWN: Final = "UNKNOWN"
"""The status, in series, of what has a status that is not known."""
PAGE_RETRY_SECONDS: Final = 30.0
"""After so long a page of all jobs is tried again, by the next refresh, where nothing says why it failed once."""
PAGE_RETRY_GROWTH: Final = 4
"""So many times as long after each further failure in a row."""
PAGE_DOUBT_SECONDS: Final = 3600.0
"""The longest time without a try; it passes at once where pages are capped, or too small for all jobs."""


class PageTrust(Struct, frozen=True, gc=False):
    """Whether one page may show all jobs of a source, by how the last ones went."""

    failures: int = 0
    """In a row."""
    doubted_until: float = 0.0
    """Monotonic seconds."""

    def after_failure(self, now: float, *, is_capped: bool) -> Self:
        """Return the trust that is left after a failure.

        `is_capped` says that a page cannot hold all jobs.
        """
        backoff = min(PAGE_DOUBT_SECONDS, PAGE_RETRY_SECONDS * PAGE_RETRY_GROWTH ** min(self.failures, 10))
        seconds = PAGE_DOUBT_SECONDS if is_capped else backoff
        return replace(self, failures=self.failures + 1, doubted_until=now + seconds)


class Sought(Struct, frozen=True, gc=False):
    """A job that no list holds any more, and how far the search for its name is."""

    job: JobStats
    page: int = 1
    """The next page to look at; the API's filter matches loosely, so the job may be on any."""
    ids_seen: frozenset[int] = frozenset()
    """On the pages before."""


class JobState(Struct, frozen=True, gc=False):
    """What is remembered of a source's jobs from one refresh to the next; empty at first."""

    figures: JobsStats | None = None
    row: DataSource | None = None
    """The source's row when its jobs were read; None where not all of them could be."""
    read_at: float = 0.0
    """Monotonic seconds."""
    unfinished: Mapping[int, JobStats] = field(default_factory=dict)
    failed: Mapping[int, JobStats] = field(default_factory=dict)
    failed_page: Page[Job] | None = None
    """The first page of failed jobs, where the list was complete."""
    failed_at: float = 0.0
    """When that list was read, in monotonic seconds."""
    finished: Mapping[int, tuple[JobStats, float]] = field(default_factory=dict)
    """Those that linger, each with the monotonic second at which it was first seen finished."""
    sought: Mapping[int, Sought] = field(default_factory=dict)
    """Those that were unfinished the last time they were seen, and are yet to be found."""
    knows_all_unfinished: bool = True
    """Whether as many unfinished jobs could be read as there are; else there are more than those known."""
    page_fingerprint: Fingerprint | None = None
    """Of the page that showed all jobs, if one did: while its data stay, so do they."""
    page_trust: PageTrust = PageTrust()

    def may_fit_one_page(self, now: float) -> bool:
        """Tell whether one page may show all jobs: there are few enough, and no page failed a while ago."""
        known = sum(self.figures.counts.values()) if self.figures else 0
        return known <= PAGE_SIZE and now >= self.page_trust.doubted_until

    def knows_failed(self, first: Page[Job], wanted: int) -> bool:
        """Tell whether all failed jobs behind this first page are known.

        Of more than `wanted`, only so many are to be known.
        """
        return first == self.failed_page and len(self.failed) == min(wanted, first.total or 0)

    @property
    def followed(self) -> set[int]:
        """The ids of the jobs of which it matters what becomes of them, whatever that is."""
        return {*self.were_unfinished, *self.failed, *self.finished}

    @property
    def were_unfinished(self) -> dict[int, JobStats]:
        """The jobs of which it is not known that they have ended, the longest sought first."""
        return {**{key: each.job for key, each in self.sought.items()}, **self.unfinished}

    def is_idle(self, row: DataSource | None, now: float, idle_interval: float) -> bool:
        """Tell whether nothing suggests that reading anew would bring anything else."""
        is_same = self.is_at_rest and self.row == row
        return is_same and now - self.read_at < idle_interval

    @property
    def is_at_rest(self) -> bool:
        """Whether no job is unfinished, and all were read."""
        return self.row is not None and self.knows_all_unfinished and not self.unfinished and not self.sought

    def lingering(self, now: float, linger: float) -> dict[int, tuple[JobStats, float]]:
        """Return the finished jobs whose time is not over."""
        return {key: (job, since) for key, (job, since) in self.finished.items() if now - since < linger}

    def renamed(self, name: SourceName) -> Self:
        """Return the same jobs under the source's new name."""
        if self.figures is None or self.figures.name == name:
            return self
        return replace(self, figures=replace(self.figures, name=name))

    def doubted(self) -> Self:
        """Return the same figures, with nothing that would spare a list."""
        return replace(self, row=None, failed_page=None, page_fingerprint=None)

    def without_lingering_times(self) -> Self:
        """Return the same, but for the times of jobs that linger: no list by status would bring them anew."""
        finished = {
            key: (replace(job, created_at=None, eta_at=None), since) for key, (job, since) in self.finished.items()
        }
        return replace(self, finished=finished)

    def missing_from(self, lists: "JobLists") -> dict[int, Sought]:
        """Return the jobs that were unfinished and stand in none of `lists`, the longest sought first."""
        missing = (key for key in self.were_unfinished if key not in lists.listed_jobs)
        return {key: self.sought.get(key) or Sought(self.unfinished[key]) for key in missing}


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job, and the list it stood in, UNKNOWN where that was none of a status; None where it was sought by name."""

    job: JobStats
    list_status: str | None

    @property
    def state(self) -> str | None:
        """Its own status, or else that of the list."""
        return self.job.status or self.list_status

    @property
    def agrees(self) -> bool:
        """Whether its own status is that of the list."""
        return self.job.status == self.list_status


class JobLists:
    """What the lists of one refresh say, as they come in."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.listed_jobs: dict[int, ListedJob] = {}

    def add_list(self, status: str, total: int | None, jobs: Iterable[JobStats]) -> None:
        """Add the list of jobs in `status`; a job that stood in an earlier list has moved on and counts here only."""
        self.totals[status] = total
        for job in jobs:
            now, before = ListedJob(job, status), self.listed_jobs.get(job.job_id)
            if before is not None and before.list_status is not None and before.agrees and now.agrees:
                counted = self.totals[before.list_status]
                self.totals[before.list_status] = counted and counted - 1
            self.listed_jobs[job.job_id] = now

    def add_all(self, numbers: Counter[str], jobs: Iterable[JobStats], followed: Container[int]) -> None:
        """Add what one page shows of all jobs of a source: their numbers by status, and those of interest.

        A job in a status that is not known may have ended long ago: it is of interest only if its id is in `followed`.
        """
        self.totals = {status: numbers[status] for status in JOB_STATUSES}
        if unknown := sum(number for status, number in numbers.items() if status not in JOB_STATUSES):
            self.totals[UNKNOWN] = unknown
        for job in jobs:
            is_known = job.status in JOB_STATUSES
            if is_known or job.job_id in followed:
                self.listed_jobs[job.job_id] = ListedJob(job, job.status if is_known else UNKNOWN)

    def add_found(self, job: JobStats) -> None:
        """Add a job that was looked for by name."""
        self.listed_jobs[job.job_id] = ListedJob(job, None)

    def in_state(self, state: str) -> dict[int, JobStats]:
        """Return the jobs in `state`."""
        return {key: seen.job for key, seen in self.listed_jobs.items() if seen.state == state}

    def unfinished(self) -> dict[int, JobStats]:
        """Return the jobs that are neither DONE nor FAILED; a state not known is not an end."""
        return {key: seen.job for key, seen in self.listed_jobs.items() if seen.state not in ("DONE", "FAILED")}

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by status, and UNKNOWN where jobs are known that no list by status holds.

        Where there is none, there may still be such jobs unless one page showed all; so there is never a 0.
        """
        counts = {status: total for status, total in self.totals.items() if total is not None}
        unlisted = [seen for seen in self.listed_jobs.values() if seen.list_status is None]
        unknown = sum(1 for seen in unlisted if seen.state not in JOB_STATUSES)
        return {**counts, UNKNOWN: unknown} if unknown else counts
