"""What a retry set out to do and how far it came, in one file, so that it can be taken up again after any end.

It is on the disk before each step that it speaks of; nobody else works on it meanwhile. It holds names and ids of the
warehouse, and no secret. Knows nothing of MMS but the requests that it keeps.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.errors import RetryStopped
from exporter.files import PRIVATE, write_atomically
from exporter.retry.batches import Batch
from exporter.retry.file_lock import held

FORMAT: Final = 1
PRIVATE_FOLDER: Final = 0o700

State = Literal["planned", "sending", "asked", "made", "done", "failed", "refused", "skipped"]
"""planned: nothing was sent. sending: it may have been, and the outcome is not known. asked: MMS makes the job. made:
it is there. done, failed: it has ended. refused: MMS did not make it. skipped: others had it under way by then, or
it was not FAILED any more."""
OPEN: Final[frozenset[State]] = frozenset({"planned", "sending", "asked"})
"""States in which there is something to do before the job is there."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job that is to be made."""

    name: str
    """The job's: no other job has it, so that it can be looked for."""
    batch: Batch
    state: State = "planned"
    sends: int = 0
    """How often it was sent, or was about to be."""
    async_task_id: int | None = None
    job_id: int | None = None
    reason: str = ""
    """Why it is refused, skipped or failed."""
    left_out: int = 0
    """How much of what was planned others had under way, or was not FAILED any more, by the time it was sent."""
    since: float | None = None
    """When it came into its state, in Unix seconds; None in a journal of an older version."""
    seen: bool = False
    """Whether MMS has shown the job in a list or by its id."""


class RetryRun(msgspec.Struct, frozen=True, kw_only=True):
    """A whole retry: where, and what."""

    format: int = FORMAT
    account: str
    endpoint: str
    source_id: int
    source: str | None
    began: str
    """RFC 3339."""
    prefix: str
    """The beginning of the names of all its jobs, and of no other's."""
    entries: tuple[Entry, ...]
    all_failed: bool = False
    """Whether it is of all that had FAILED in the source, so that nothing should be FAILED at its end."""
    tables: tuple[int, ...] = ()
    """Ids of the FAILED tables that it migrates by the ids of their partitions."""
    refused: int = 0
    """How much of what was asked for its plan left out."""
    revision: int = 0
    """How often it was written. The lock file has this number too, so that an old copy is recognised."""


def job_prefix(when: str, token: str) -> str:
    """Return the beginning of the names of one retry's jobs: `when` is a compact UTC time, `token` random."""
    return f"mms-exporter-{when}-{token}-"


def entries_of(prefix: str, batches: Sequence[Batch]) -> tuple[Entry, ...]:
    """Return what is to be made, each job with a name of its own; no name is a part of another."""
    digits = max(3, len(str(len(batches))))
    return tuple(
        Entry(name=f"{prefix}{number:0{digits}d}", batch=batch) for number, batch in enumerate(batches, start=1)
    )


class Journal:
    """The file of one retry, held by this process."""

    def __init__(self, path: Path, course: RetryRun) -> None:
        self.path = path
        self.course = course
        self.clock = SYSTEM_CLOCK
        self.lock = -1
        """Descriptor of the locked file."""
        self.is_resumed = False
        """Whether it was begun by an earlier process, so that it may be older than what was done."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """How far each job is."""
        return self.course.entries

    @property
    def names(self) -> frozenset[str]:
        """The names of all its jobs."""
        return frozenset(entry.name for entry in self.entries)

    def note(self, place: int, entry: Entry) -> Entry:
        """Write down how far the job at `place` is; when it returns, that outlasts any end. Raises: RetryStopped."""
        self.note_all({place: entry})
        return self.entries[place]

    def note_all(self, changed: Mapping[int, Entry]) -> None:
        """Write down how far several jobs are, by place, in one step. Raises: RetryStopped."""
        entries, now = list(self.entries), self.clock.wall()
        for place, entry in changed.items():
            is_new = entry.state != entries[place].state
            entries[place] = msgspec.structs.replace(entry, since=now) if is_new else entry
        self.course = msgspec.structs.replace(self.course, entries=tuple(entries))
        self.save()

    def save(self) -> None:
        """Write all of it. Raises: RetryStopped."""
        self.course = msgspec.structs.replace(self.course, revision=self.course.revision + 1)
        try:
            write_atomically(self.path, msgspec.json.encode(self.course), PRIVATE)
            os.pwrite(self.lock, b"%020d\n" % self.course.revision, 0)
        except OSError as error:
            raise RetryStopped(f"{self.path} cannot be written: {error.strerror}") from None

    @classmethod
    @contextmanager
    def begun(cls, folder: Path, course: RetryRun, clock: Clock = SYSTEM_CLOCK) -> Iterator[Self]:
        """Provide the journal of a retry that begins now, in a folder that is made if need be. Raises: RetryStopped."""
        path = Path(os.path.realpath(made_folder(folder) / f"retry-{course.prefix.strip('-')}.json"))
        with _held(path) as lock:
            journal = cls(path, course)
            journal.clock, journal.lock = clock, lock
            journal.save()
            yield journal

    @classmethod
    @contextmanager
    def resumed(cls, path: Path, clock: Clock = SYSTEM_CLOCK) -> Iterator[Self]:
        """Provide the journal of a retry that was begun earlier. Raises: RetryStopped."""
        if not path.is_file():
            raise RetryStopped(f"{path}: there is no such file")
        path = Path(os.path.realpath(path))  # a link to it must not have a lock of its own
        with _held(path) as lock:
            journal = cls(path, course_from(path))
            journal.clock, journal.lock = clock, lock
            journal.is_resumed = True
            yield journal


def course_from(path: Path) -> RetryRun:
    """Return what is written in a journal. Raises: RetryStopped for what is none.

    In an old copy, whose lock file knows of later steps, every planned job may have been sent.
    """
    # Read before the journal, which is written first: a copy read while its owner writes does not look old.
    revision = _revision(path.with_suffix(".lock"))
    try:
        course = msgspec.json.decode(path.read_bytes(), type=RetryRun)
    except OSError as error:
        raise RetryStopped(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError):
        raise RetryStopped(f"{path} is not what a retry wrote") from None
    if course.format != FORMAT:
        raise RetryStopped(f"{path} was written by another version of this program")
    if revision <= course.revision:
        return course
    return msgspec.structs.replace(course, entries=tuple(map(_in_doubt, course.entries)))


def _revision(lock: Path) -> int:
    try:
        return int(lock.read_bytes() or b"0")
    except (OSError, ValueError):
        return 0


def _in_doubt(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, state="sending", sends=1) if entry.state == "planned" else entry


def made_folder(folder: Path) -> Path:
    """Return a folder, made if need be, that only its user can look into. Raises: RetryStopped."""
    try:
        folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise RetryStopped(f"{folder} cannot be made: {error.strerror}") from None
    return folder


def _held(path: Path) -> AbstractContextManager[int]:
    return held(path.with_suffix(".lock"), str(path))
