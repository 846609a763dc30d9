"""What a command is asked to show, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
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
    """As TABLE or DATABASE.TABLE."""
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

    @property
    def has_names(self) -> bool:
        """Whether a database or a table is named."""
        return bool(self.databases or self.tables)

    def places(self) -> Sequence[tuple[str | None, str | None]]:
        """Return each database and table that is meant; None for any.

        A table with a dot in its name is meant as it stands, and as DATABASE.TABLE at each dot.
        """
        found = list(product(self.databases or (None,), self.tables or (None,)))
        for table in self.tables:
            parts = table.split(".")
            halves = ((".".join(parts[:at]), ".".join(parts[at:])) for at in range(1, len(parts)))
            found += [half for half in halves if all(half) and (not self.databases or half[0] in self.databases)]
        return list(dict.fromkeys(found))

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
