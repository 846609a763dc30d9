"""What a command is asked to show, and how."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from exporter.errors import ConfigError, Problem

Output = Literal["table", "json", "csv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What narrows a command's rows; what is empty narrows nothing."""

    accounts: Sequence[str] = ()
    sources: Sequence[str] = ()
    """Names or ids."""
    databases: Sequence[str] = ()
    tables: Sequence[str] = ()
    statuses: Sequence[str] = ()
    """In any case."""
    limit: int = 100
    """Rows of one kind for each data source."""
    output: Output = "table"

    def statuses_among(self, known: Sequence[str]) -> tuple[str, ...]:
        """Return the statuses asked for, in the order of `known`; none where none is.

        One that this program does not know is refused: a list that a misspelt status leaves empty would look like
        good news. Raises: ConfigError.
        """
        wanted = {status.upper() for status in self.statuses}
        expected = f"expected one of {', '.join(known)}"
        if unknown := sorted(wanted - set(known)):
            raise ConfigError(*(Problem("--status", f"{expected}, not {each!r}") for each in unknown))
        return tuple(status for status in known if status in wanted)
