"""Whole lists out of pages, however the server cuts them. Pure but for the calls it is given to make."""

from collections.abc import Awaitable, Callable, Mapping
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
    is_complete: bool
    """Whether as many rows arrived as there are, or more; or the reader stopped by its own will."""
    is_stable: bool = True
    """Whether each page said the same `total`, and no more rows came than that; else rows may have moved unseen."""
    pages: int = 1
    """How many pages were read."""

    @property
    def is_consistent(self) -> bool:
        """Whether what is not among the rows is not in the list, as far as any answer can say so."""
        return self.is_complete and self.is_stable


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
            return Listing(tuple(rows.values())[:max_rows], total, is_complete=True, is_stable=len(totals) == 1)
        if len(rows) == known or (total is not None and len(rows) >= total):
            break
    is_complete, is_too_long = total is not None and len(rows) >= total, total is not None and len(rows) > total
    is_stable = len(totals) == 1 and not is_too_long
    return Listing(tuple(rows.values()), total, is_complete=is_complete, is_stable=is_stable, pages=number)


async def read_until_stable(read: Callable[[], Awaitable[Listing[I]]]) -> Listing[I]:
    """Return a list as the first reading has it that is certain; where none of MAX_READINGS is, as the last one has it.

    `read` reads all of it. A row that leaves and one that comes between two pages go unnoticed: `total` stays.
    """
    for _ in range(MAX_READINGS - 1):
        listing = await read()
        if listing.is_consistent:
            return listing
    return await read()


async def read_newest(
    read: Callable[[int], Awaitable[Page[I]]],
    wanted: int,
    first: Page[I] | None = None,
    page_size: int | None = None,
) -> Listing[I]:
    """Return the `wanted` rows of the highest ids, highest first.

    Reads as few pages as that takes. `first` is page 1, if it was read; `page_size` is how many rows a page was asked
    to hold. A list whose ids ascend is read from its end. Of a list without order, the first pages are read.

    UNVERIFIED: the order of the rows, which the API does not let choose by age; any live list settles it.
    """
    pages = {1: first if first is not None else await read(1)}
    total, size = pages[1].total, len(pages[1].rows)
    count = -(-(total or 0) // size) if size else 1
    if size == 1 and count > 1:
        pages[2] = await read(2)  # a single row shows no order
    ascends = _ascends(pages)
    rows: dict[int, I] = {}
    most_pages = -(-wanted // max(1, size)) + ascends  # the last page may hold a single row
    for number in (range(count, 0, -1) if ascends else range(1, count + 1))[:most_pages]:
        known = len(rows)
        if known >= wanted:
            break
        pages[number] = pages[number] if number in pages else await read(number)
        rows.update((row.id, row) for row in pages[number].rows)
        if len(rows) == known and (pages[number].rows or not ascends):
            break
    if count > 1 and count not in pages and page_size is not None and size < page_size:
        pages[count] = await read(count)  # it shows whether pages are capped, or the first one lacks rows
    return _newest(pages, count, wanted)


def _ascends(pages: Mapping[int, Page[I]]) -> bool:
    """Tell whether the ids on these pages ascend."""
    ids = [row.id for page in pages.values() for row in page.rows]
    return len(ids) > 1 and ids[0] < ids[-1]


def _newest(pages: Mapping[int, Page[I]], count: int, wanted: int) -> Listing[I]:
    """Return the newest rows on some of a list's `count` pages."""
    rows = {row.id: row for page in pages.values() for row in page.rows}
    newest = sorted(rows.values(), key=lambda row: row.id, reverse=True)[:wanted]
    total, size = pages[1].total, len(pages[1].rows)
    is_complete = total is not None and len(newest) >= min(wanted, total)
    if total is not None and size:
        expected = {number: size if number < count else total - (count - 1) * size for number in pages}
        sizes = {number: len(page.rows) for number, page in pages.items()}
        # A page that lacks rows, or a row that comes twice, took the place of rows that may be newer.
        is_complete = is_complete and sizes == expected and len(rows) == sum(sizes.values())
    is_stable = len({page.total for page in pages.values()}) == 1
    return Listing(tuple(newest), total, is_complete=is_complete, is_stable=is_stable, pages=len(pages))
