"""Where a command writes: how wide, in which encoding, in colour or not."""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self, TextIO

DEFAULT_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class OutputStyle:
    """What people will look at."""

    width: int | None = None
    """Columns of the terminal; None where it is none, and a line may be as long as it has to."""
    has_color: bool = False
    encoding: str = "utf-8"

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str]) -> Self:
        """Return what a stream is; `NO_COLOR`, set to anything, and `TERM=dumb` want no colour."""
        if not stream.isatty():
            return cls(encoding=stream.encoding)
        has_color = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        return cls(_width(stream), has_color, stream.encoding)


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
    except (OSError, io.UnsupportedOperation):
        return DEFAULT_WIDTH
