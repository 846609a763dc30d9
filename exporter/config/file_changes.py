"""Detect changes of configuration files by inode, size and times."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from exporter.config.yaml_files import read_yaml
from exporter.errors import ConfigError

SETTLE_SECONDS: Final = 0.1
"""A file modified more recently may be incomplete."""

FileStamps = dict[Path, tuple[int, ...]]
"""Device, inode, size and times of each file; () for a missing file."""


def stamps_of(files: Iterable[Path]) -> FileStamps:
    """Return the stamps of files; follow symbolic links."""
    return {file: _stamp(file) for file in files}


def unsettled_seconds(files: Iterable[Path]) -> float:
    """Return the wait until all files are settled.

    Missing files, and files with a time in the future, need no wait.
    """
    now = time.time_ns()
    ages = ((now - stamp[3]) / 1e9 for stamp in stamps_of(files).values() if stamp)
    return max((SETTLE_SECONDS - age for age in ages if 0 <= age < SETTLE_SECONDS), default=0.0)


def fingerprint(path: Path, folder: Path = Path()) -> FileStamps:
    """Return the stamps of a configuration file and the files it references, relative to `folder`."""
    try:
        return stamps_of((path, *(folder / name for name in _referenced_files(read_yaml(path)))))
    except ConfigError:
        return stamps_of((path,))


def _referenced_files(raw: object) -> Iterator[str]:
    # Any key that ends in `_file` references a file. Each mapping and list is visited once, because aliases can
    # repeat them and create cycles.
    pending, seen = [raw], {id(raw)}
    while pending:
        each = pending.pop()
        items = each.items() if isinstance(each, dict) else ()
        yield from (value for key, value in items if isinstance(value, str) and str(key).endswith("_file"))
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        new = {id(value): value for value in inner if isinstance(value, dict | list) and id(value) not in seen}
        seen |= new.keys()
        pending += new.values()


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except (OSError, ValueError):
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
