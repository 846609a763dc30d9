"""The newest rows of a list that fit exactly, where the API's filters match loosely."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from exporter.mms.decoding import Identified, Page
from exporter.mms.listing import read_newest

I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified

MAX_ROWS: Final = 1_000_000
"""That are looked at for one list."""
_WIDER: Final = 4
"""How many times as many rows are looked at where too few fit."""


@dataclass(frozen=True, slots=True)
class Newest(Generic[I]):
    """Some of the rows that fit."""

    rows: Sequence[I]
    """The highest id first."""
    omitted: int
    """How many more fit, or at most fit."""
    is_exact: bool
    """Whether `omitted` is how many fit."""

    def more(self, noun: str) -> str:
        """Return what was left out of what one calls `noun`, as people say it; empty where nothing was."""
        if not self.omitted:
            return ""
        about, more = "" if self.is_exact else "up to ", "more " if self.rows else ""
        return f"{about}{self.omitted:,} {more}{noun}{'' if self.omitted == 1 else 's'}"


async def newest(
    page: Callable[[int], Awaitable[Page[I]]], fits: Callable[[I], bool], wanted: int, *, is_loose: bool
) -> Newest[I]:
    """Return `wanted` rows that fit, of the list that `page` gives; `is_loose` where it holds others than those.

    Where others take their place, more and more of the list is read. Raises: MmsError.
    """
    asked = wanted
    while True:
        listing = await read_newest(page, asked)
        rows = [row for row in listing.rows if fits(row)]
        is_whole = len(listing.rows) < asked
        if len(rows) >= wanted or is_whole or asked >= MAX_ROWS:
            break
        asked *= _WIDER
    total = max(listing.total or 0, len(listing.rows))
    omitted = total - len(listing.rows) + len(rows[wanted:])
    return Newest(rows[:wanted], omitted, is_exact=not is_loose or total == len(listing.rows))


def merged(parts: Iterable[Newest[I]], wanted: int, rank: Callable[[I], tuple[bool, int]]) -> Newest[I]:
    """Return `wanted` rows of several lists, those of the highest rank; a row of two lists is the later one's."""
    lists = list(parts)
    rows = {row.id: row for each in lists for row in each.rows}
    chosen = sorted(rows.values(), key=rank, reverse=True)[:wanted]
    omitted = sum(each.omitted for each in lists) + len(rows) - len(chosen)
    by_age = sorted(chosen, key=lambda row: row.id, reverse=True)
    return Newest(by_age, omitted, is_exact=all(each.is_exact for each in lists))
