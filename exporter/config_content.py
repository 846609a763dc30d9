"""What is in a configuration file and in the files that it names: as a digest, to tell whether it changed.

The content counts and nothing else: neither the time of a file nor which way a link leads to it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import ConfigError
from exporter.yaml_files import read_yaml


@dataclass(frozen=True, slots=True)
class Content:
    """What was found at one time."""

    digest: bytes
    is_whole: bool
    """Whether each file could be read."""


def content_of(path: Path) -> Content:
    """Return what is in the configuration file at `path`, and in secret files and bundles that it names."""
    summary = hashlib.sha256()
    is_whole = True
    for file in (path, *sorted(set(_named_files(path)))):
        part = _digest(file)
        is_whole = is_whole and bool(part)
        summary.update(hashlib.sha256(str(file).encode("utf-8", "surrogatepass") + b"\0" + part).digest())
    return Content(summary.digest(), is_whole)


def _digest(file: Path) -> bytes:
    """Return the digest of a file; b"" for one that cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except (OSError, ValueError):
        return b""


def _named_files(path: Path) -> Iterator[Path]:
    try:
        yield from _files_in(read_yaml(path))
    except ConfigError:
        return


def _files_in(raw: object) -> Iterator[Path]:
    """Yield the files of all keys that name one, wherever they stand: a key that is wrong there does no harm.

    Each mapping and list is looked at once, since aliases may put it in a thousand places, and into itself.
    """
    waiting, seen = [raw], {id(raw)}
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            named = ((str(key), value) for key, value in each.items() if isinstance(value, str))
            yield from (Path(value) for key, value in named if key.endswith("_file"))
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        new = {id(value): value for value in inner if isinstance(value, dict | list) and id(value) not in seen}
        seen |= new.keys()
        waiting += new.values()
