"""What one process at a time may work on: a file that is locked for as long as that process wants, or lives."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.errors import RetryStopped
from exporter.files import PRIVATE


@contextmanager
def held(lock: Path, subject: str) -> Iterator[int]:
    """Keep every other process off `subject`; the hold ends with this process, however that ends.

    Yields the descriptor of the locked file, which can be written. Raises: RetryStopped where another has it.
    """
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise RetryStopped(f"{subject} cannot be held: {lock}: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise RetryStopped(f"{subject}: another process works on it") from None
    try:
        yield handle
    finally:
        os.close(handle)
