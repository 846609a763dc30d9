"""The options of the read-only commands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, Self

from exporter.errors import ConfigError, Problem

Output = Literal["table", "json", "csv"]
Kind = Literal["table", "partition", "job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Filters and output format; an empty filter matches everything."""

    accounts: Sequence[str] = ()
    sources: Sequence[str] = ()
    """Names or IDs."""
    databases: Sequence[str] = ()
    tables: Sequence[str] = ()
    """TABLE or DATABASE.TABLE."""
    statuses: Sequence[str] = ()
    """Case-insensitive."""
    limit: int = 100
    """Rows per kind and data source."""
    output: Output = "table"
    record: tuple[Kind, int] = ("table", 0)
    """Kind and ID of the record that `show` prints."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the options from parsed command-line values."""
        return cls(
            accounts=values["account"],
            sources=values.get("source", ()),
            databases=values.get("database", ()),
            tables=values.get("table", ()),
            statuses=values.get("status", ()),
            limit=values.get("limit", 0),
            output=values["output"],
            record=(values.get("kind", "table"), values.get("id", 0)),
        )

    @property
    def has_names(self) -> bool:
        """Whether a database or table is selected."""
        return bool(self.databases or self.tables)

    def table_filters(self) -> Sequence[tuple[str | None, str | None]]:
        """Return the selected pairs of database and table; None matches any.

        A table name with dots matches as it is, and as DATABASE.TABLE at each dot.
        """
        found = list(product(self.databases or (None,), self.tables or (None,)))
        for table in self.tables:
            parts = table.split(".")
            halves = ((".".join(parts[:at]), ".".join(parts[at:])) for at in range(1, len(parts)))
            found += [half for half in halves if all(half) and (not self.databases or half[0] in self.databases)]
        return list(dict.fromkeys(found))

    def statuses_among(self, known: Iterable[str]) -> tuple[str, ...]:
        """Return the selected statuses in the order of `known`. Raises: ConfigError."""
        # An unknown status is an error: an empty list for a typo would look like good news.
        wanted = {status.upper() for status in self.statuses}
        expected = f"expected one of {', '.join(known)}"
        if unknown := sorted(wanted - set(known)):
            raise ConfigError(*(Problem("--status", f"{expected}, not {each!r}") for each in unknown))
        return tuple(status for status in known if status in wanted)
