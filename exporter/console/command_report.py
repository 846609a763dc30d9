"""The result of a command before formatting."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Generic, TypeVar

from exporter.console.columns import Field, TableColumn
from exporter.errors import MmsError
from exporter.masking import printable

R = TypeVar("R")

MAX_NAMED: Final = 5
"""Data sources that one error line names."""


@dataclass(frozen=True, slots=True)
class QueryError:
    """An error of one account or data source."""

    account: str
    source: str
    """Name of the data source; empty if the whole account failed."""
    error: MmsError


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReport(Generic[R]):
    """The rows of a command, and what is missing."""

    fields: Sequence[Field[R]]
    columns: Sequence[TableColumn[R]] = ()
    card: Callable[[R], Iterable[tuple[str, str]]] | None = None
    """Lines of label and text that people see instead of columns."""
    rows: Sequence[R]
    empty_text: str
    """Message if there are no rows."""
    omitted: Sequence[str] = ()
    """Rows that were left out, as text."""
    errors: Sequence[QueryError] = ()
    must_have_rows: bool = False
    """Whether an empty result is a failure."""
    has_failures: bool = False
    """Whether a row reports a failure."""

    @property
    def succeeded(self) -> bool:
        """Whether everything was read and nothing failed."""
        return not self.errors and not self.has_failures and not (self.must_have_rows and not self.rows)

    def remarks(self) -> Iterator[str]:
        """Yield the lines for standard error."""
        if not self.rows and not self.omitted and not self.errors:
            yield self.empty_text
        yield from self.omitted
        yield from error_lines(self.errors)


def error_lines(errors: Iterable[QueryError]) -> Iterator[str]:
    """Yield one line per account and kind of error."""

    def kind(each: QueryError) -> tuple[str, str, str]:
        return each.account, each.error.reason, each.error.detail

    for (account, _, _), group in groupby(sorted(errors, key=kind), key=kind):
        same_kind = list(group)
        names = [printable(each.source) for each in same_kind if each.source]
        more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
        sources = f", {', '.join(names[:MAX_NAMED])}{more}" if names else ""
        error = same_kind[0].error
        yield f"account {printable(account)}{sources}: {error}; {error.hint}"
