"""The collector of jobs: ListMmsJobs -> JobsFigures, at a cost that grows with what runs, not with history.

Four lists a source, in the order of a job's life, so that a job which moves on meanwhile is seen twice rather than
not at all: INIT and DOING whole, FAILED up to what is shown, and DONE for its number. The API tells no end time: a job
counts as just finished when it was unfinished the last time and is no more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from zoneinfo import ZoneInfo

from exporter.collect.snapshot import JobFigures, JobsFigures, SourceName
from exporter.config import Jobs
from exporter.mms.client import Client
from exporter.mms.models import JOB_STATUSES, UNFINISHED_JOB_STATUSES, DataSource, Job
from exporter.mms.observer import Observer
from exporter.mms.protocol import PAGE_SIZE, JobFilter
from exporter.mms.times import unix_seconds

OPERATION: Final = "ListMmsJobs"
UNKNOWN: Final = "UNKNOWN"
MAX_LOOKUPS: Final = 20
"""Jobs of one source that are looked for by name in one refresh; the rest has its turn in the next."""


@dataclass(frozen=True, slots=True)
class SourceJobs:
    """What is remembered of a source's jobs from one refresh to the next."""

    figures: JobsFigures
    row: DataSource
    """The source's row when its jobs were read."""
    read_at: float
    """Monotonic seconds."""
    unfinished: Mapping[int, JobFigures] = field(default_factory=dict)
    failed: Mapping[int, JobFigures] = field(default_factory=dict)
    finished: Mapping[int, tuple[JobFigures, float]] = field(default_factory=dict)
    """Those that linger, each with the monotonic second at which it was first seen finished."""
    sought: Mapping[int, JobFigures] = field(default_factory=dict)
    """Unfinished the last time they were seen, and not looked for since."""

    def renamed(self, name: SourceName) -> "SourceJobs":
        """Return the same jobs under the source's new name."""
        return self if self.figures.name == name else replace(self, figures=replace(self.figures, name=name))

    def is_idle(self, row: DataSource, now: float, idle_interval: float) -> bool:
        """Tell whether nothing suggests that reading anew would bring anything else."""
        at_rest = not self.unfinished and not self.sought and self.row == row
        return at_rest and now - self.read_at < idle_interval


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A job, and the list it stood in; None where it was looked for by name."""

    job: JobFigures
    list_status: str | None

    @property
    def state(self) -> str | None:
        return self.job.status or self.list_status

    @property
    def agrees(self) -> bool:
        return self.job.status == self.list_status


class _Lists:
    """What the lists of one refresh say, as they come in."""

    def __init__(self) -> None:
        self.totals: dict[str, int | None] = {}
        self.sightings: dict[int, _Sighting] = {}

    def add_list(self, status: str, total: int | None, jobs: Iterable[JobFigures]) -> None:
        """Add the list of jobs in `status`; a job that stood in an earlier list has moved on and counts here only."""
        self.totals[status] = total
        for job in jobs:
            now, before = _Sighting(job, status), self.sightings.get(job.job_id)
            if before is not None and before.list_status is not None and before.agrees and now.agrees:
                self.totals[before.list_status] = (self.totals[before.list_status] or 1) - 1
            self.sightings[job.job_id] = now

    def add_found(self, job: JobFigures) -> None:
        """Add a job that was looked for by name."""
        self.sightings[job.job_id] = _Sighting(job, None)

    def in_state(self, state: str) -> dict[int, JobFigures]:
        """Return the jobs in `state`."""
        return {key: seen.job for key, seen in self.sightings.items() if seen.state == state}

    def unfinished(self) -> dict[int, JobFigures]:
        """Return the jobs that are neither DONE nor FAILED; a state not known is not an end."""
        return {key: seen.job for key, seen in self.sightings.items() if seen.state not in ("DONE", "FAILED")}

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by status: each list's total, and under UNKNOWN those that no list holds."""
        unlisted = (seen for seen in self.sightings.values() if seen.list_status is None)
        counts = {status: total for status, total in self.totals.items() if total is not None}
        return {**counts, UNKNOWN: sum(1 for seen in unlisted if seen.state not in JOB_STATUSES)}


@dataclass(frozen=True, slots=True)
class JobsReader:
    """Reads the jobs of an account's sources."""

    client: Client
    settings: Jobs
    zone: ZoneInfo
    observer: Observer

    async def read(self, name: SourceName, row: DataSource, before: SourceJobs | None, now: float) -> SourceJobs:
        """Return what is known of a source's jobs at `now`, in monotonic seconds. Raises: MmsError."""
        if before is not None and before.is_idle(row, now, self.settings.idle_interval):
            return self._remembered(before, now)
        listed = _Lists()
        for status in UNFINISHED_JOB_STATUSES:
            await self._list(name.source_id, status, listed)
        await self._list(name.source_id, "FAILED", listed, max_rows=self.settings.max_series_per_source)
        ended = _missing(before, listed)
        await self._list(name.source_id, "DONE", listed, max_rows=PAGE_SIZE if ended else 1)
        sought = await self._look_for(name.source_id, _missing(before, listed), listed)
        return self._memory(name, row, before, listed, sought, now)

    async def _list(self, source_id: int, status: str, listed: _Lists, max_rows: int | None = None) -> None:
        listing = await self.client.list_jobs(
            source_id,
            JobFilter(status=status),
            max_rows=max_rows,
            page_size=PAGE_SIZE if max_rows is None else max(1, min(PAGE_SIZE, max_rows)),
        )
        listed.add_list(status, listing.total, map(self._figures, listing.rows))

    async def _look_for(self, source_id: int, jobs: dict[int, JobFigures], listed: _Lists) -> dict[int, JobFigures]:
        """Find out what became of `jobs`, and return those whose turn is later. One that is nowhere was deleted."""
        ids = sorted(jobs)
        for job_id in ids[:MAX_LOOKUPS]:
            filters = JobFilter(name=jobs[job_id].name, src_db_name=jobs[job_id].src_db)
            if filters.name is None:
                continue
            listing = await self.client.list_jobs(source_id, filters, max_rows=2 * PAGE_SIZE)
            for job in listing.rows:
                if job.id == job_id:
                    listed.add_found(self._figures(job))
        return {job_id: jobs[job_id] for job_id in ids[MAX_LOOKUPS:]}

    def _memory(
        self,
        name: SourceName,
        row: DataSource,
        before: SourceJobs | None,
        listed: _Lists,
        sought: dict[int, JobFigures],
        now: float,
    ) -> SourceJobs:
        unfinished, failed = listed.unfinished(), listed.in_state("FAILED")
        were_unfinished = {**before.unfinished, **before.sought} if before else {}
        just_finished = {key: (job, now) for key, job in listed.in_state("DONE").items() if key in were_unfinished}
        lingering = {
            key: (job, since)
            for key, (job, since) in (before.finished.items() if before else ())
            if key not in unfinished and key not in failed and now - since < self.settings.linger
        }
        memory = SourceJobs(
            figures=JobsFigures(name, listed.counts(), 0, (), 0),
            row=row,
            read_at=now,
            unfinished=unfinished,
            failed=failed,
            finished={**lingering, **just_finished},
            sought=sought,
        )
        return self._with_series(memory, before)

    def _remembered(self, before: SourceJobs, now: float) -> SourceJobs:
        """Return `before` without the jobs that have lingered long enough."""
        lingering = {
            key: (job, since) for key, (job, since) in before.finished.items() if now - since < self.settings.linger
        }
        if len(lingering) == len(before.finished):
            return before
        return self._with_series(replace(before, finished=lingering), before)

    def _with_series(self, memory: SourceJobs, before: SourceJobs | None) -> SourceJobs:
        """Return `memory` with the jobs that have series: unfinished ones first, then failed ones, newest first."""
        finished = {key: job for key, (job, _) in memory.finished.items()}
        ranked = [*_newest(memory.unfinished), *_newest(memory.failed), *_newest(finished)]
        most = self.settings.max_series_per_source
        figures = replace(
            memory.figures,
            stopped=sum(1 for job in memory.unfinished.values() if job.stopped),
            jobs=tuple(sorted(ranked[:most], key=lambda job: job.job_id)),
            omitted=max(0, len(memory.unfinished) - most),
        )
        return replace(memory, figures=before.figures if before and before.figures == figures else figures)

    def _figures(self, job: Job) -> JobFigures:
        figures = JobFigures(
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
            created_at=unix_seconds(job.create_time, self.zone),
            eta_at=unix_seconds(job.eta, self.zone),
        )
        if strange := _strange_fields(job, figures):
            self.observer.unexpected(OPERATION, strange)
        return figures


def _missing(before: SourceJobs | None, listed: _Lists) -> dict[int, JobFigures]:
    """Return the jobs that were unfinished before and stand in no list now."""
    were_unfinished = {**before.unfinished, **before.sought} if before else {}
    return {key: job for key, job in were_unfinished.items() if key not in listed.sightings}


def _newest(jobs: Mapping[int, JobFigures]) -> list[JobFigures]:
    return sorted(jobs.values(), key=lambda job: (job.created_at or 0.0, job.job_id), reverse=True)


def _strange_fields(job: Job, figures: JobFigures) -> list[str]:
    """Return the API's names of the fields whose value has the right type and no known meaning."""
    signs = {
        "status": figures.status is not None and figures.status not in JOB_STATUSES,
        "createTime": job.create_time is not None and figures.created_at is None,
        "eta": job.eta is not None and figures.eta_at is None,
    }
    return [field for field, is_strange in signs.items() if is_strange]
