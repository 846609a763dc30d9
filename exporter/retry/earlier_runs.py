"""What earlier runs left behind: the lock of a data source, jobs in doubt, and jobs that may still migrate their units.

MMS may list a job minutes after its creation, and a unit's status may lag behind the end of its job. A job therefore
blocks its units from the moment the journal has its ID until `settle_seconds` after its end. Until its asynchronous
task has ended, only the journal knows of it. All this covers the runs of one state folder.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from exporter.clock import Clock
from exporter.errors import RetryStopped
from exporter.mms.client import Client
from exporter.mms.models.records import Job, JobConfig
from exporter.retry.coverage import JournalJob
from exporter.retry.journal import UNSETTLED, Entry, Journal, RetryRun, create_private_folder, lock_file, read_run
from exporter.retry.watching import changed_entries, created_jobs

UNSEEN_SECONDS: Final = 86_400.0
"""How long a created job that MMS never listed counts as in progress."""


@dataclass(frozen=True, slots=True)
class EarlierJobs:
    """Jobs whose units a run must not migrate."""

    jobs: tuple[Job, ...] = ()
    settles_in: Mapping[int, float] = field(default_factory=dict)
    """By ID of an ended job: seconds until the statuses of its units are reliable."""


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

    async def _current(self, path: Path, run: RetryRun) -> Sequence[Entry]:
        """Return the entries with the current states of their jobs."""
        if not any(entry.state == "made" for entry in run.entries):
            return run.entries
        # A job that MMS listed before was deleted. A job that it never listed may be listed late.
        gone = {entry.job_id for entry in run.entries if entry.seen and entry.job_id is not None}
        changed = changed_entries(run, await created_jobs(self.client, run), gone)
        if changed and self.may_update:
            _save(path, changed, self.clock)
        now = self.clock.wall()
        fresh = {entry.name: entry if entry.state == "made" else replace(entry, since=now) for entry in changed}
        return [fresh.get(entry.name, entry) for entry in run.entries]

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


def _save(path: Path, changed: Sequence[Entry], clock: Clock) -> None:
    # If another process has the journal open, it updates it itself.
    with suppress(RetryStopped), Journal.open(path, clock) as journal:
        made = {entry.name for entry in journal.entries if entry.state == "made"}
        journal.update(*(entry for entry in changed if entry.name in made))


def _job(entry: Entry, job_id: int) -> JournalJob:
    """Return an entry as a job with its units."""
    batch = entry.batch
    config = JobConfig(
        partitions=tuple(batch.partition_ids) or None, tables=tuple(table.name for table in batch.tables) or None
    )
    has_ended = entry.state != "made" and entry.seen
    state = "of an earlier run has ended, but MMS may still list old statuses"
    if not has_ended:
        state = "is in progress, created by an earlier run, and may migrate the same data"
    return JournalJob(id=job_id, name=entry.name, src_db_name=batch.template.src_db, state=state, config=config)


@contextmanager
def lock_source(folder: Path, endpoint: str, source_id: int, own: Path | None = None) -> Iterator[None]:
    """Lock a data source against other runs; `own` is the journal that is resumed.

    Raises: RetryStopped if another run has the lock, or left a job in doubt.
    """
    folder = create_private_folder(folder)
    endpoint_hash = hashlib.sha256(_normalized(endpoint).encode()).hexdigest()[:12]
    prefix = None if own is None else read_run(own).prefix
    with lock_file(folder / f"source-{source_id}-{endpoint_hash}.lock", f"data source {source_id} at {endpoint}"):
        for path, run in other_journals(folder, endpoint, source_id, own):
            _check(path, run, prefix)
        yield


def other_journals(
    folder: Path, endpoint: str, source_id: int, own: Path | None = None
) -> Iterator[tuple[Path, RetryRun]]:
    """Yield the journals of a data source except `own`. Raises: RetryStopped."""
    for path in sorted(folder.glob("retry-*.json")):
        if not path.is_file() or (own is not None and path.samefile(own)):
            continue
        try:
            run = read_run(path)
        except RetryStopped as error:
            raise RetryStopped(
                f"{error}: it may contain a job that is being created; move it away once there is none"
            ) from None
        if (_normalized(run.endpoint), run.source_id) == (_normalized(endpoint), source_id):
            yield path, run


def _check(path: Path, run: RetryRun, prefix: str | None) -> None:
    """Raise RetryStopped if a journal has a job in doubt."""
    unsettled = [entry.name for entry in run.entries if entry.state in UNSETTLED]
    if unsettled:
        raise RetryStopped(
            f"an earlier run of this data source may have created {unsettled[0]}, and the result is unknown; "
            "nothing was sent; resume that run first",
            resume=path,
        )
    if run.prefix == prefix:
        raise RetryStopped(
            f"{path} is another journal of this run, so one of the two is an old copy; nothing was sent; "
            "move the older away and resume the newest",
            resume=path,
        )


def _normalized(endpoint: str) -> str:
    return endpoint.casefold().rstrip("/")
