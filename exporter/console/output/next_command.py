"""Builds the commands that messages tell the user to run next."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from exporter.masking import printable

_CONFIGURATION: Final = ("config.file", "mms.region")
"""Flags without which a command does not know its accounts."""


@dataclass(frozen=True, slots=True)
class NextCommand:
    """A builder of command lines with the configuration of this one, ready to paste."""

    program: str = "mms-exporter"
    """Words that start the program, quoted for a shell."""
    configuration: tuple[str, ...] = ()
    """Words that every command line needs."""

    @classmethod
    def of(cls, values: Mapping[str, Any], program: str) -> Self:
        """Return the builder for parsed command-line values."""
        given = ((name, values.get(name)) for name in _CONFIGURATION)
        return cls(program, tuple(f"--{name}={value}" for name, value in given if value is not None))

    def text(self, name: str, *words: str) -> str:
        """Return a command line for a shell."""
        return printable(f"{self.program} {shlex.join([name, *self.configuration, *words])}")


DEFAULT_COMMAND: Final = NextCommand()
