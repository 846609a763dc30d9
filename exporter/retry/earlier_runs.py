"""Finds the jobs of earlier runs that may still migrate what they were made for, by the journals of the state folder.

A list may show a job minutes after MMS made it, and a status may lag behind the end of its job. So a job counts as in
progress from the moment that its journal knows its id until it has ended, and its units stay taken for a while after.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from exporter.clock import Clock
from exporter.errors import RetryStopped
from exporter.mms.client import Client
from exporter.mms.models import Job, JobConfig
from exporter.retry.journal import Entry, Journal, RetryRun
from exporter.retry.watching import as_shown, made_jobs

UNSEEN_SECONDS: Final = 86_400.0
"""For how long a job counts as in progress that MMS said it made, and never showed."""


@dataclass(frozen=True, slots=True)
class EarlierJobs:
    """Jobs whose units a run must leave alone."""

    jobs: tuple[Job, ...] = ()
    settles_in: Mapping[int, float] = field(default_factory=dict)
    """Those that ended, with the seconds until the statuses of their units count."""


async def no_earlier() -> EarlierJobs:
    """Return that there are none."""
    return EarlierJobs()


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRuns:
    """The journals of earlier runs, and how long what they made is left alone."""

    client: Client
    journals: Iterable[tuple[Path, RetryRun]]
    clock: Clock
    settle_seconds: float
    may_note: bool
    """Whether ends that are seen are written down in the journals."""

    async def jobs(self, settled: Iterable[int] = ()) -> EarlierJobs:
        """Return the jobs in progress; of those that ended, the ones `settled` count no more. Raises: MmsError."""
        found: dict[int, Job] = {}
        settles_in: dict[int, float] = {}
        for path, course in self.journals:
            for entry in await self._current(path, course):
                left = self._seconds_left(entry)
                if entry.job_id is None or left <= 0 or entry.job_id in settled:
                    continue
                found[entry.job_id] = _job(entry, entry.job_id)
                if entry.state != "made" and entry.seen:
                    settles_in[entry.job_id] = left
        return EarlierJobs(tuple(found.values()), settles_in)

    async def _current(self, path: Path, course: RetryRun) -> tuple[Entry, ...]:
        """Return the entries of a journal as MMS shows their jobs now."""
        if not any(entry.state == "made" for entry in course.entries):
            return course.entries
        # A job that MMS has shown before was deleted. One that it never showed may merely be late.
        gone = {entry.job_id for entry in course.entries if entry.seen and entry.job_id is not None}
        changed = as_shown(course, await made_jobs(self.client, course), gone)
        if changed and self.may_note:
            _keep(path, changed, self.clock)
        now = self.clock.wall()
        fresh = {place: replace(entry, since=now) for place, entry in changed.items() if entry.state != "made"}
        return tuple({**dict(enumerate(course.entries)), **changed, **fresh}.values())

    def _seconds_left(self, entry: Entry) -> float:
        """Return for how long the units of a job are still left alone."""
        if entry.state not in {"made", "done", "failed"}:
            return 0.0
        if not entry.seen:
            return UNSEEN_SECONDS - self._age(entry)
        return inf if entry.state == "made" else self.settle_seconds - self._age(entry)

    def _age(self, entry: Entry) -> float:
        """Return the seconds since an entry came into its state; a clock that was set back counts as 0."""
        return UNSEEN_SECONDS if entry.since is None else max(0.0, self.clock.wall() - entry.since)


def _keep(path: Path, changed: Mapping[int, Entry], clock: Clock) -> None:
    """Write down what became of jobs, unless a process that watches them has the journal: it does so itself."""
    try:
        with Journal.resumed(path, clock) as journal:
            journal.note_all(
                {place: entry for place, entry in changed.items() if journal.entries[place].state == "made"}
            )
    except RetryStopped:
        return


def _job(entry: Entry, job_id: int) -> Job:
    """Return the job of an entry, as a list would show it, over the units of the entry."""
    batch = entry.batch
    config = JobConfig(
        partitions=tuple(batch.partition_ids) or None, tables=tuple(table.name for table in batch.tables) or None
    )
    has_ended = entry.state != "made" and entry.seen
    status = "over, but statuses may lag behind it" if has_ended else "in progress, made by an earlier run"
    return Job(id=job_id, name=entry.name, src_db_name=batch.frame.src_db, status=status, config=config)
