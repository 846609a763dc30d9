"""What is in a configuration file and in the files that it names: as a digest, to tell whether it changed.

The content counts and nothing else: neither the time of a file nor which way a link leads to it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        summary.update(hashlib.sha256(str(file).encode("utf-8", "surrogateescape") + b"\0" + part).digest())
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


def _files_in(raw: Any) -> Iterator[Path]:  # noqa: ANN401 - whatever YAML holds
    """Yield the files of all keys that name one, wherever they stand: a key that is wrong there does no harm."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            if isinstance(value, str) and str(key).endswith("_file"):
                yield Path(value)
            yield from _files_in(value)
    elif isinstance(raw, list):
        for each in raw:
            yield from _files_in(each)
