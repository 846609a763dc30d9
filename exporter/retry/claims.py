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
from exporter.retry.journal import State, course_from, made_folder
from exporter.retry.locks import held

UNSETTLED: Final[frozenset[State]] = frozenset({"sending", "asked"})
"""States in which a job may come to be, that no list shows yet."""


@contextmanager
def claimed(folder: Path, endpoint: str, source_id: int, own: Path | None = None) -> Iterator[None]:
    """Keep other runs from making jobs in a data source; `own` is the journal that is resumed, where one is.

    Raises: RetryStopped where another run makes jobs there now, or left one of which it is not known what became.
    """
    folder = made_folder(folder)
    place = hashlib.sha256(endpoint.casefold().rstrip("/").encode()).hexdigest()[:12]
    with held(folder / f"source-{source_id}-{place}.lock", f"data source {source_id} at {endpoint}"):
        for path in _journals(folder):
            if own is None or not path.samefile(own):
                _check(path, endpoint, source_id)
        yield


def _check(path: Path, endpoint: str, source_id: int) -> None:
    """Return if a journal leaves nothing of this data source in doubt. Raises: RetryStopped."""
    try:
        course = course_from(path)
    except RetryStopped as error:
        raise RetryStopped(f"{error}: it may tell of a job that is being made; move it away once none is") from None
    if (course.endpoint.casefold().rstrip("/"), course.source_id) != (endpoint.casefold().rstrip("/"), source_id):
        return
    unsettled = [entry.name for entry in course.entries if entry.state in UNSETTLED]
    if unsettled:
        raise RetryStopped(
            f"an earlier run of this data source may have made {unsettled[0]}, and it is not known what became of it; "
            f"nothing was sent; settle that first: mms-exporter retry --resume={path}"
        )


def _journals(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("retry-*.json") if path.is_file())
