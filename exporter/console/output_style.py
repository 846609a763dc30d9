"""Width, colour and encoding of an output stream."""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self, TextIO

DEFAULT_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class OutputStyle:
    """How a stream is written."""

    width: int | None = None
    """Columns of the terminal; None for a pipe or file, whose lines have any length."""
    has_color: bool = False
    encoding: str = "utf-8"

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str]) -> Self:
        """Return the style of a stream; `NO_COLOR` and `TERM=dumb` disable colour."""
        if not stream.isatty():
            return cls(encoding=stream.encoding)
        has_color = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        return cls(_width(stream), has_color, stream.encoding)


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
    except (OSError, io.UnsupportedOperation):
        return DEFAULT_WIDTH
