"""The right to make jobs in a data source: one run has it at a time, and none while an earlier one is in doubt.

A job that was asked for stands in no list until its asynchronous task has ended, so that only what was written down
tells of it. Holds among the runs of one state folder; another machine, or another user's folder, is not seen.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from exporter.errors import RetryStopped
from exporter.retry.file_lock import held
from exporter.retry.journal import RetryRun, State, course_from, made_folder

UNSETTLED: Final[frozenset[State]] = frozenset({"sending", "asked"})
"""States in which a job may come to be, that no list shows yet."""


@contextmanager
def claimed(folder: Path, endpoint: str, source_id: int, own: Path | None = None) -> Iterator[None]:
    """Keep other runs from making jobs in a data source; `own` is the journal that is resumed, where one is.

    Raises: RetryStopped where another run makes jobs there now, or left one of which it is not known what became.
    """
    folder = made_folder(folder)
    place = hashlib.sha256(_folded(endpoint).encode()).hexdigest()[:12]
    prefix = None if own is None else course_from(own).prefix
    with held(folder / f"source-{source_id}-{place}.lock", f"data source {source_id} at {endpoint}"):
        for path, course in other_journals(folder, endpoint, source_id, own):
            _check(path, course, prefix)
        yield


def other_journals(
    folder: Path, endpoint: str, source_id: int, own: Path | None = None
) -> Iterator[tuple[Path, RetryRun]]:
    """Yield the journals of a data source in a folder, `own` left out.

    Raises: RetryStopped for one that cannot be read.
    """
    for path in sorted(folder.glob("retry-*.json")):
        if not path.is_file() or (own is not None and path.samefile(own)):
            continue
        try:
            course = course_from(path)
        except RetryStopped as error:
            raise RetryStopped(f"{error}: it may tell of a job that is being made; move it away once none is") from None
        if (_folded(course.endpoint), course.source_id) == (_folded(endpoint), source_id):
            yield path, course


def _check(path: Path, course: RetryRun, prefix: str | None) -> None:
    """Return if a journal leaves nothing in doubt. Raises: RetryStopped."""
    unsettled = [entry.name for entry in course.entries if entry.state in UNSETTLED]
    if unsettled:
        raise RetryStopped(
            f"an earlier run of this data source may have made {unsettled[0]}, and it is not known what became of it; "
            f"nothing was sent; settle that first: mms-exporter retry --resume={path}"
        )
    if course.prefix == prefix:
        raise RetryStopped(
            f"{path} is the journal of this run, too, and one of the two is an old copy; nothing was sent; "
            f"resume the newest, and move the other away: mms-exporter retry --resume={path}"
        )


def _folded(endpoint: str) -> str:
    return endpoint.casefold().rstrip("/")
