"""Jobs of earlier runs that may still migrate their units, read from the journals.

MMS may list a job minutes after its creation, and a unit's status may lag behind the end of its job. A job therefore
blocks its units from the moment the journal has its ID until `settle_seconds` after its end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final, cast

from msgspec.structs import replace

from exporter.clock import Clock
from exporter.errors import RetryStopped
from exporter.mms.client import Client
from exporter.mms.models import Job, JobConfig
from exporter.mms.statuses import JobStatus
from exporter.retry.journal import Entry, Journal, RetryRun
from exporter.retry.watching import changed_entries, created_jobs

UNSEEN_SECONDS: Final = 86_400.0
"""How long a created job that MMS never listed counts as in progress."""


@dataclass(frozen=True, slots=True)
class EarlierJobs:
    """Jobs whose units a run must not migrate."""

    jobs: tuple[Job, ...] = ()
    settles_in: Mapping[int, float] = field(default_factory=dict)
    """By ID of an ended job: seconds until the statuses of its units are reliable."""


async def no_earlier_jobs() -> EarlierJobs:
    """Return an empty result."""
    return EarlierJobs()


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRuns:
    """The journals of earlier runs of one data source."""

    client: Client
    journals: Iterable[tuple[Path, RetryRun]]
    clock: Clock
    settle_seconds: float
    may_update: bool
    """Whether the journals are updated with the end of a job."""

    async def jobs(self, settled: Iterable[int] = ()) -> EarlierJobs:
        """Return the blocking jobs; `settled` lists job IDs to ignore. Raises: MmsError."""
        found: dict[int, Job] = {}
        settles_in: dict[int, float] = {}
        for path, run in self.journals:
            for entry in await self._current(path, run):
                left = self._seconds_left(entry)
                if entry.job_id is None or left <= 0 or entry.job_id in settled:
                    continue
                found[entry.job_id] = _job(entry, entry.job_id)
                if entry.state != "made" and entry.seen:
                    settles_in[entry.job_id] = left
        return EarlierJobs(tuple(found.values()), settles_in)

    async def _current(self, path: Path, run: RetryRun) -> tuple[Entry, ...]:
        """Return the entries with the current states of their jobs."""
        if not any(entry.state == "made" for entry in run.entries):
            return run.entries
        # A job that MMS listed before was deleted. A job that it never listed may be listed late.
        gone = {entry.job_id for entry in run.entries if entry.seen and entry.job_id is not None}
        changed = changed_entries(run, await created_jobs(self.client, run), gone)
        if changed and self.may_update:
            _save(path, changed, self.clock)
        now = self.clock.wall()
        fresh = {index: replace(entry, since=now) for index, entry in changed.items() if entry.state != "made"}
        return tuple({**dict(enumerate(run.entries)), **changed, **fresh}.values())

    def _seconds_left(self, entry: Entry) -> float:
        """Return how many seconds a job still blocks its units."""
        if entry.state not in {"made", "done", "failed"}:
            return 0.0
        if not entry.seen:
            return UNSEEN_SECONDS - self._age(entry)
        return inf if entry.state == "made" else self.settle_seconds - self._age(entry)

    def _age(self, entry: Entry) -> float:
        # A clock that was set back counts as age 0.
        return UNSEEN_SECONDS if entry.since is None else max(0.0, self.clock.wall() - entry.since)


def _save(path: Path, changed: Mapping[int, Entry], clock: Clock) -> None:
    try:
        with Journal.open(path, clock) as journal:
            journal.update_all(
                {index: entry for index, entry in changed.items() if journal.entries[index].state == "made"}
            )
    except RetryStopped:
        # Another process has the journal open and updates it itself.
        return


def _job(entry: Entry, job_id: int) -> Job:
    """Return an entry as a job with its units."""
    batch = entry.batch
    config = JobConfig(
        partitions=tuple(batch.partition_ids) or None, tables=tuple(table.name for table in batch.tables) or None
    )
    has_ended = entry.state != "made" and entry.seen
    status = "over, but statuses may lag behind it" if has_ended else "in progress, made by an earlier run"
    phrase = cast("JobStatus", status)  # printed where a job of MMS shows its status
    return Job(id=job_id, name=entry.name, src_db_name=batch.template.src_db, status=phrase, config=config)
