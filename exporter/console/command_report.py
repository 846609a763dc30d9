"""What a command found out, before anybody formats it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Generic, TypeVar

from exporter.console.columns import Field, TableColumn
from exporter.errors import MmsError
from exporter.masking import printable

R = TypeVar("R")

MAX_NAMED: Final = 5
"""Data sources that a complaint about several of them names."""


@dataclass(frozen=True, slots=True)
class QueryError:
    """What could not be read."""

    account: str
    source: str
    """Its name; empty where it is the account as a whole."""
    error: MmsError


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReport(Generic[R]):
    """Rows, what is missing among them, and why."""

    fields: Sequence[Field[R]]
    columns: Sequence[TableColumn[R]] = ()
    card: Callable[[R], Iterable[tuple[str, str]]] | None = None
    """What people see of a row in place of columns: lines of a label and a text."""
    rows: Sequence[R]
    nothing: str
    """What it means that there is no row."""
    omitted: Sequence[str] = ()
    """What was left out."""
    troubles: Sequence[QueryError] = ()
    is_sought: bool = False
    """Whether it is a failure that there is no row."""
    is_bad: bool = False
    """Whether a row tells of a failure."""

    @property
    def is_fine(self) -> bool:
        """Whether everything that was asked for could be had."""
        return not self.troubles and not self.is_bad and not (self.is_sought and not self.rows)

    def remarks(self) -> Iterator[str]:
        """Yield what is to be said beside the rows."""
        if not self.rows and not self.omitted and not self.troubles:
            yield self.nothing
        yield from self.omitted
        yield from complaints(self.troubles)


def complaints(troubles: Iterable[QueryError]) -> Iterator[str]:
    """Yield one line for each kind of trouble that an account has, and what to do."""

    def kind(trouble: QueryError) -> tuple[str, str, str]:
        return trouble.account, trouble.error.reason, trouble.error.detail

    for (account, _, _), group in groupby(sorted(troubles, key=kind), key=kind):
        alike = list(group)
        names = [printable(trouble.source) for trouble in alike if trouble.source]
        more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
        about = f", {', '.join(names[:MAX_NAMED])}{more}" if names else ""
        error = alike[0].error
        yield f"account {printable(account)}{about}: {error}; {error.hint}"
