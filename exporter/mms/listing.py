"""Whole lists out of pages, however the server cuts them. Pure but for the calls it is given to make."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from exporter.mms.decoding import Identified, Page

MAX_PAGES: Final = 1000
"""A list longer than this many pages is cut here; a server that never ends its list must not hold a refresh."""

MAX_READINGS: Final = 3
"""Of a list that moves each time while it is read."""


I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified


@dataclass(frozen=True, slots=True)
class Listing(Generic[I]):
    """The rows of a list, each id once, in the order in which they came."""

    rows: tuple[I, ...]
    total: int | None
    """How many rows there are, as the last page said; None where it did not."""
    is_whole: bool
    """Whether as many rows arrived as there are, or more; or the reader stopped by its own will."""
    is_steady: bool = True
    """Whether each page said the same `total`. Where it moved, a row can have moved to a page that was read already."""

    @property
    def is_certain(self) -> bool:
        """Whether what is not among the rows is not in the list, as far as any answer can say so."""
        return self.is_whole and self.is_steady


async def read_pages(
    read: Callable[[int], Awaitable[Page[I]]],
    max_rows: int | None = None,
    first: Page[I] | None = None,
    max_pages: int = MAX_PAGES,
) -> Listing[I]:
    """Return the rows of page 1, 2, ... as `read` gives them, `max_rows` at most; `first` is page 1, if it was read.

    Ends when all that `total` promises is there, or a page brings nothing new: what was asked for says nothing of how
    many rows a page holds. A row that moved between pages is kept once, as it was read last.
    """
    rows: dict[int, I] = {}
    total: int | None = None
    totals: set[int | None] = set()
    for number in range(1, max_pages + 1):
        page = first if first is not None and number == 1 else await read(number)
        total = page.total
        totals.add(total)
        known = len(rows)
        rows.update((row.id, row) for row in page.rows)
        if max_rows is not None and len(rows) >= max_rows:
            return Listing(tuple(rows.values())[:max_rows], total, is_whole=True, is_steady=len(totals) == 1)
        if len(rows) == known or (total is not None and len(rows) >= total):
            break
    is_whole = total is not None and len(rows) >= total
    return Listing(tuple(rows.values()), total, is_whole=is_whole, is_steady=len(totals) == 1)


async def read_steadily(read: Callable[[], Awaitable[Listing[I]]]) -> Listing[I]:
    """Return a list as the first reading has it that is certain; where none of MAX_READINGS is, as the last one has it.

    `read` reads all of it. A row that leaves and one that comes between two pages go unnoticed: `total` stays.
    """
    for _ in range(MAX_READINGS - 1):
        listing = await read()
        if listing.is_certain:
            return listing
    return await read()


async def read_newest(read: Callable[[int], Awaitable[Page[I]]], wanted: int) -> Listing[I]:
    """Return the `wanted` rows of the highest ids, the highest first, in as few pages as that takes.

    UNVERIFIED: the order of the rows, which the API does not let choose by age; any live list settles it. The first
    page shows it: where its ids ascend, the list is read from its end. Of a list without order, the first pages are
    read.
    """
    first = await read(1)
    rows = {row.id: row for row in first.rows}
    size = len(rows)
    totals = {first.total}
    ascends = size > 0 and first.rows[0].id < first.rows[-1].id
    for number in _pages_of_newest(first.total or 0, size, wanted, ascends=ascends):
        known = len(rows)
        if known - (size if ascends else 0) >= wanted:
            break
        page = await read(number)
        totals.add(page.total)
        rows.update((row.id, row) for row in page.rows)
        if len(rows) == known and (page.rows or not ascends):
            break
    newest = sorted(rows.values(), key=lambda row: row.id, reverse=True)[:wanted]
    is_whole = first.total is not None and len(newest) >= min(wanted, first.total)
    return Listing(tuple(newest), first.total, is_whole=is_whole, is_steady=len(totals) == 1)


def _pages_of_newest(total: int, size: int, wanted: int, *, ascends: bool) -> range:
    """Return the numbers of the pages behind the first that can hold the highest ids, in the order to read them."""
    if not size:
        return range(0)
    pages, needed = -(-total // size), -(-wanted // size)
    # The last page may hold a single row, so that one more is needed from the end.
    return range(pages, max(1, pages - needed - 1), -1) if ascends else range(2, min(pages, needed) + 1)
