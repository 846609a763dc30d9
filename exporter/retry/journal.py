"""The journal of one run: its jobs and their states in one JSON file, so that the run can be resumed.

Each step is on disk before it happens. One process at a time has the journal open. It contains names and IDs of the
warehouse but no secret. Knows nothing of MMS except the requests that it stores.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.errors import RetryStopped
from exporter.files import PRIVATE, write_atomically
from exporter.retry.units import Batch

FORMAT: Final = 1
JOB_PREFIX: Final = "mms-exporter-"
"""Start of the names of all jobs that `retry` creates."""
PRIVATE_FOLDER: Final = 0o700

State = Literal["planned", "sending", "asked", "made", "done", "failed", "refused", "skipped"]
"""planned: not sent. sending: possibly sent, result unknown. asked: MMS creates the job. made: the job exists.
done, failed: the job ended. refused: MMS did not create it. skipped: its units were in other jobs by then, or no
longer FAILED.
"""
UNSETTLED: Final[frozenset[State]] = frozenset({"sending", "asked"})
"""States of jobs that may exist without being listed."""
OPEN: Final[frozenset[State]] = UNSETTLED | {"planned"}
"""States of jobs that do not exist yet and still need a step."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job of a run."""

    name: str
    """Job name, unique in MMS, so that the job can be found by it."""
    batch: Batch
    state: State = "planned"
    sends: int = 0
    """Number of requests sent, including one that is about to be sent."""
    async_task_id: int | None = None
    job_id: int | None = None
    reason: str = ""
    """Why the job is refused, skipped or failed."""
    left_out: int = 0
    """Planned units that were left out at sending: in other jobs by then, or no longer FAILED."""
    since: float | None = None
    """Unix time of the last change of state; None in a journal of an older version."""
    seen: bool = False
    """Whether MMS has listed the job or returned it by ID."""


class RetryRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run: its data source, its jobs and their states."""

    format: int = FORMAT
    account: str
    endpoint: str
    source_id: int
    source: str | None
    began: str
    """RFC 3339."""
    prefix: str
    """Common prefix of the names of all jobs of this run and of no other."""
    entries: tuple[Entry, ...]
    all_failed: bool = False
    """Whether the run covers everything FAILED in the source, so that nothing may be FAILED after it."""
    tables: tuple[int, ...] = ()
    """IDs of FAILED tables that are migrated by partition IDs."""
    refused: int = 0
    """Number of requested units that the plan refused."""
    revision: int = 0
    """Number of writes. The lock file has the same number, so that an old copy is recognised."""


def job_prefix(when: str, token: str) -> str:
    """Return a job name prefix from a time and a token."""
    return f"{JOB_PREFIX}{when}-{token}-"


def new_entries(prefix: str, batches: Sequence[Batch]) -> tuple[Entry, ...]:
    """Return one uniquely named entry per batch."""
    # With equal lengths no name is part of another.
    digits = max(3, len(str(len(batches))))
    return tuple(
        Entry(name=f"{prefix}{number:0{digits}d}", batch=batch) for number, batch in enumerate(batches, start=1)
    )


class Journal:
    """The open journal of one run."""

    def __init__(self, path: Path, run: RetryRun) -> None:
        self.path = path
        self.run = run
        self.clock = SYSTEM_CLOCK
        self.lock = -1
        """Descriptor of the lock file."""
        self.is_resumed = False
        """Whether an earlier process created it, so that it may be an old copy."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The jobs of the run and their states."""
        return self.run.entries

    @property
    def names(self) -> frozenset[str]:
        """The names of all jobs."""
        return frozenset(entry.name for entry in self.entries)

    def update(self, *changed: Entry) -> None:
        """Write changed entries to disk at once. Raises: RetryStopped."""
        by_name, now = {entry.name: entry for entry in changed}, self.clock.wall()
        entries = tuple(_dated(by_name.get(entry.name, entry), entry.state, now) for entry in self.entries)
        self.run = msgspec.structs.replace(self.run, entries=entries)
        self.save()

    def save(self) -> None:
        """Write the journal to disk. Raises: RetryStopped."""
        self.run = msgspec.structs.replace(self.run, revision=self.run.revision + 1)
        try:
            write_atomically(self.path, msgspec.json.encode(self.run), PRIVATE)
            os.pwrite(self.lock, b"%020d\n" % self.run.revision, 0)
        except OSError as error:
            raise RetryStopped(f"cannot write {self.path}: {error.strerror}") from None

    @classmethod
    @contextmanager
    def create(cls, folder: Path, run: RetryRun, clock: Clock = SYSTEM_CLOCK) -> Iterator[Self]:
        """Create and lock the journal of a new run. Raises: RetryStopped."""
        path = Path(os.path.realpath(create_private_folder(folder) / f"retry-{run.prefix.strip('-')}.json"))
        with lock_file(path.with_suffix(".lock"), str(path)) as lock:
            journal = cls(path, run)
            journal.clock, journal.lock = clock, lock
            journal.save()
            yield journal

    @classmethod
    @contextmanager
    def open(cls, path: Path, clock: Clock = SYSTEM_CLOCK) -> Iterator[Self]:
        """Open and lock the journal of an earlier run. Raises: RetryStopped."""
        if not path.is_file():
            raise RetryStopped(f"{path}: no such file")
        path = Path(os.path.realpath(path))  # a link shares the lock of its target
        with lock_file(path.with_suffix(".lock"), str(path)) as lock:
            journal = cls(path, read_run(path))
            journal.clock, journal.lock, journal.is_resumed = clock, lock, True
            yield journal


def _dated(entry: Entry, state: State, now: float) -> Entry:
    return entry if entry.state == state else msgspec.structs.replace(entry, since=now)


def read_run(path: Path) -> RetryRun:
    """Read a journal without locking it. Raises: RetryStopped if it is invalid."""
    # Each write updates the journal first. Reading in the opposite order never makes a current journal look old.
    revision = _revision(path.with_suffix(".lock"))
    try:
        run = msgspec.json.decode(path.read_bytes(), type=RetryRun)
    except OSError as error:
        raise RetryStopped(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError):
        raise RetryStopped(f"{path} is not a journal of mms-exporter retry") from None
    if run.format != FORMAT:
        raise RetryStopped(f"{path} was written by another version of mms-exporter")
    if revision <= run.revision:
        return run
    # This is an old copy: every planned job may have been sent since.
    return msgspec.structs.replace(run, entries=tuple(map(_in_doubt, run.entries)))


def _revision(lock: Path) -> int:
    try:
        return int(lock.read_bytes() or b"0")
    except (OSError, ValueError):
        return 0


def _in_doubt(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, state="sending", sends=1) if entry.state == "planned" else entry


def create_private_folder(folder: Path) -> Path:
    """Create a folder that only its user can read. Raises: RetryStopped."""
    try:
        folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise RetryStopped(f"cannot create {folder}: {error.strerror}") from None
    return folder


@contextmanager
def lock_file(lock: Path, subject: str) -> Iterator[int]:
    """Lock a file against other processes; yield its writable descriptor.

    Raises: RetryStopped if another process has the lock.
    """
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise RetryStopped(f"cannot lock {subject}: {lock}: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise RetryStopped(f"{subject} is locked by another process") from None
    try:
        yield handle
    finally:
        os.close(handle)
