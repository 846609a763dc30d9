"""Read complete lists page by page. Fetches pages only through the given function."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Self, TypeVar

from exporter.errors import MalformedAnswer
from exporter.mms.decoding import Identified, Page

MAX_PAGES: Final = 1000
"""Page limit of one list, so that an endless list cannot block a refresh."""

MAX_READINGS: Final = 3
"""Maximum attempts to read a list that changes while it is read."""


I = TypeVar("I", bound=Identified)  # noqa: E741 - Identified


@dataclass(frozen=True, slots=True)
class Listing(Generic[I]):
    """Rows of a list, unique by ID, in the order received."""

    rows: tuple[I, ...]
    total: int | None
    """Number of rows according to the last page; None if missing."""
    is_complete: bool
    """Whether at least `total` rows arrived, or the requested number of rows."""
    is_stable: bool = True
    """Whether `total` was the same on all pages and not exceeded; otherwise rows may have moved between pages."""
    pages: int = 1
    """Number of pages read."""

    @property
    def is_consistent(self) -> bool:
        """Whether a missing row is certainly not in the list."""
        return self.is_complete and self.is_stable

    def readable(self, operation: str) -> Self:
        """Return the listing. Raises: MalformedAnswer if every row was lost."""
        if self.total and not self.rows:
            raise MalformedAnswer(f"{operation}: no row could be decoded")
        return self


async def read_pages(
    read: Callable[[int], Awaitable[Page[I]]],
    max_rows: int | None = None,
    first: Page[I] | None = None,
    max_pages: int = MAX_PAGES,
) -> Listing[I]:
    """Read pages from 1 until the list is complete.

    Stops at `total` rows, at `max_rows`, or at a page without new rows: the server may return smaller pages than
    requested. A row on two pages is kept once, in its last version. `first` is page 1 if already fetched.
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
    """Read a list up to MAX_READINGS times until it is consistent.

    `read` reads the whole list. One row removed and one added between two pages go unnoticed, since `total` is equal.
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
    is_last: Callable[[I], bool] | None = None,
) -> Listing[I]:
    """Return the `wanted` rows with the highest IDs, highest first.

    Reads as few pages as possible: from the end if IDs ascend, otherwise from the start. `first` is page 1 if already
    fetched; `page_size` is the requested page size. Stops after a page with an `is_last` row.

    UNVERIFIED: the order of the rows, which the API cannot sort by age; any live list settles it.
    """
    pages = {1: first if first is not None else await read(1)}
    total, size = pages[1].total, len(pages[1].rows)
    count = max(1, -(-(total or 0) // size)) if size else 1
    if size == 1 and count > 1:
        pages[2] = await read(2)  # a single row shows no order
    ascends = _ascends(pages)
    rows: dict[int, I] = {}
    most_pages = -(-wanted // max(1, size)) + ascends  # the last page may have a single row
    for number in (range(count, 0, -1) if ascends else range(1, count + 1))[:most_pages]:
        known = len(rows)
        if known >= wanted:
            break
        pages[number] = pages[number] if number in pages else await read(number)
        rows.update((row.id, row) for row in pages[number].rows)
        if is_last is not None and any(map(is_last, pages[number].rows)):
            wanted = min(wanted, len(rows))
        if len(rows) == known and (pages[number].rows or not ascends):
            break
    if count > 1 and count not in pages and page_size is not None and size < page_size:
        pages[count] = await read(count)  # shows whether pages are capped or the first one lacks rows
    return _newest(pages, count, wanted)


def _ascends(pages: Mapping[int, Page[I]]) -> bool:
    ids = [row.id for page in pages.values() for row in page.rows]
    return len(ids) > 1 and ids[0] < ids[-1]


def _newest(pages: Mapping[int, Page[I]], count: int, wanted: int) -> Listing[I]:
    rows = {row.id: row for page in pages.values() for row in page.rows}
    newest = sorted(rows.values(), key=lambda row: row.id, reverse=True)[:wanted]
    total, size = pages[1].total, len(pages[1].rows)
    is_complete = total is not None and len(newest) >= min(wanted, total)
    if total is not None and size:
        expected = {number: size if number < count else total - (count - 1) * size for number in pages}
        sizes = {number: len(page.rows) for number, page in pages.items()}
        # A missing or repeated row may have displaced newer rows.
        is_complete = is_complete and sizes == expected and len(rows) == sum(sizes.values())
    is_stable = len({page.total for page in pages.values()}) == 1
    return Listing(tuple(newest), total, is_complete=is_complete, is_stable=is_stable, pages=len(pages))
