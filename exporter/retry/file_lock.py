"""An exclusive lock on a file. It ends with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.errors import RetryStopped
from exporter.files import PRIVATE


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
