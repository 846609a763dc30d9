"""The fingerprint of a configuration file and the files that it names, to see that one of them changed."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from exporter.config.yaml_files import read_yaml
from exporter.errors import ConfigError

SETTLE_SECONDS: Final = 0.1
"""A file that is younger may be half written."""

FileStamps = dict[Path, tuple[int, ...]]
"""What differs where a file does: its device, inode, size and times; () for a missing file."""


def stamps_of(files: Iterable[Path]) -> FileStamps:
    """Return the fingerprint of files; links are followed."""
    return {file: _stamp(file) for file in files}


def unsettled_seconds(files: Iterable[Path]) -> float:
    """Return how long to wait until no file is younger than SETTLE_SECONDS; 0 for missing and future ones."""
    now = time.time_ns()
    ages = ((now - stamp[3]) / 1e9 for stamp in stamps_of(files).values() if stamp)
    return max((SETTLE_SECONDS - age for age in ages if 0 <= age < SETTLE_SECONDS), default=0.0)


def config_files(path: Path, folder: Path = Path()) -> tuple[Path, ...]:
    """Return a configuration file and the files that it names, which are relative to `folder`."""
    try:
        return path, *(folder / name for name in _named_files(read_yaml(path)))
    except ConfigError:
        return (path,)


def _named_files(raw: object) -> Iterator[str]:
    """Yield the values of all keys that end in `_file`, at any depth."""
    # Each mapping and list is visited once: aliases may put it into a thousand places, and into itself.
    waiting, seen = [raw], {id(raw)}
    while waiting:
        each = waiting.pop()
        items = each.items() if isinstance(each, dict) else ()
        yield from (value for key, value in items if isinstance(value, str) and str(key).endswith("_file"))
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        new = {id(value): value for value in inner if isinstance(value, dict | list) and id(value) not in seen}
        seen |= new.keys()
        waiting += new.values()


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
