"""The newest matching rows of a list. Knows nothing of accounts and data sources."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from exporter.mms.decoding import Identified, Page
from exporter.mms.listing import read_newest

I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified

MAX_ROWS: Final = 1_000_000
"""Rows that are read of one list."""
_WIDER: Final = 4
"""Factor by which the number of rows grows if too few match."""


@dataclass(frozen=True, slots=True)
class Newest(Generic[I]):
    """The newest matching rows."""

    rows: Sequence[I]
    """Highest ID first."""
    omitted: int
    """Number, or upper limit, of further matches."""
    is_exact: bool
    """Whether `omitted` is the exact number."""

    def more(self, noun: str) -> str:
        """Return the omitted rows as text; empty if there are none."""
        if not self.omitted:
            return ""
        about, more = "" if self.is_exact else "up to ", "more " if self.rows else ""
        return f"{about}{self.omitted:,} {more}{noun}{'' if self.omitted == 1 else 's'}"


async def newest(
    page: Callable[[int], Awaitable[Page[I]]],
    fits: Callable[[I], bool],
    wanted: int,
    *,
    is_loose: bool,
    max_rows: int = MAX_ROWS,
) -> Newest[I]:
    """Return up to `wanted` matching rows; `is_loose` says that the list has others.

    Up to `max_rows` of the list are read until enough rows match. Raises: MmsError.
    """
    pages: dict[int, Page[I]] = {}

    async def read_once(number: int) -> Page[I]:
        if number not in pages:
            pages[number] = await page(number)
        return pages[number]

    count = wanted
    while True:
        listing = await read_newest(read_once, count)
        rows = [row for row in listing.rows if fits(row)]
        is_end = len(listing.rows) < count
        if len(rows) >= wanted or is_end or count >= max_rows:
            break
        count = min(count * _WIDER, max_rows)
    total = max(listing.total or 0, len(listing.rows))
    omitted = total - len(listing.rows) + len(rows[wanted:])
    return Newest(rows[:wanted], omitted, is_exact=not is_loose or total == len(listing.rows))


def merged(parts: Iterable[Newest[I]], wanted: int, rank: Callable[[I], tuple[bool, int]]) -> Newest[I]:
    """Return the `wanted` highest-ranked rows of several lists."""
    lists = list(parts)
    # A later list has the newer version of a row.
    rows = {row.id: row for each in lists for row in each.rows}
    chosen = sorted(rows.values(), key=rank, reverse=True)[:wanted]
    omitted = sum(each.omitted for each in lists) + len(rows) - len(chosen)
    by_age = sorted(chosen, key=lambda row: row.id, reverse=True)
    return Newest(by_age, omitted, is_exact=all(each.is_exact for each in lists))
