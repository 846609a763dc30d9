"""What a command is asked to show, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from exporter.errors import ConfigError, Problem

Output = Literal["table", "json", "csv"]
Kind = Literal["table", "partition", "job"]


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
    thing: tuple[Kind, int] = ("table", 0)
    """What `show` is to show: its kind and its id."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return what the values of a command line ask for, by their names there; not each command has each."""
        return cls(
            accounts=values["account"],
            sources=values.get("source", ()),
            databases=values.get("database", ()),
            tables=values.get("table", ()),
            statuses=values.get("status", ()),
            limit=values.get("limit", 0),
            output=values["output"],
            thing=(values.get("kind", "table"), values.get("id", 0)),
        )

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
