"""Locks a data source, so that one run at a time creates jobs in it and no job is left in doubt.

MMS lists a requested job only after its asynchronous task has ended; until then only the journal knows of it. The lock
covers the runs of one state folder, not those of another machine or user.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from exporter.errors import RetryStopped
from exporter.retry.file_lock import lock_file
from exporter.retry.journal import RetryRun, State, create_private_folder, read_run

UNSETTLED: Final[frozenset[State]] = frozenset({"sending", "asked"})
"""States of jobs that may exist without being listed."""


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
            f"nothing was sent; resume that run first: mms-exporter retry --resume={path}"
        )
    if run.prefix == prefix:
        raise RetryStopped(
            f"{path} is another journal of this run, so one of the two is an old copy; nothing was sent; "
            f"resume the newest and move the other away: mms-exporter retry --resume={path}"
        )


def _normalized(endpoint: str) -> str:
    return endpoint.casefold().rstrip("/")
