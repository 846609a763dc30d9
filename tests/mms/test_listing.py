"""Complete lists from pages of any size and order."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.mms.decoding import Page
from exporter.mms.listing import MAX_PAGES, MAX_READINGS, Listing, read_newest, read_pages, read_until_stable


@dataclass(frozen=True)
class Row:
    """A row with the page that returned it."""

    id: int
    page: int = 0


@dataclass
class Server:
    """Returns pages and records the requested page numbers."""

    page: Callable[[int], Page[Row]]
    asked: list[int] = field(default_factory=list)

    async def read(self, number: int) -> Page[Row]:
        self.asked.append(number)
        return self.page(number)


def server_of(*pages: list[int], total: int | None) -> Server:
    """Return a server with these pages, followed by empty ones."""

    def page(number: int) -> Page[Row]:
        ids = pages[number - 1] if number <= len(pages) else []
        return Page(tuple(Row(each, number) for each in ids), total)

    return Server(page)


def ids(listing: Listing[Row]) -> list[int]:
    return [row.id for row in listing.rows]


async def test_a_single_page_needs_one_request() -> None:
    server = server_of([1, 2, 3], total=3)
    assert await read_pages(server.read) == Listing((Row(1, 1), Row(2, 1), Row(3, 1)), 3, is_complete=True)
    assert server.asked == [1]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 60), st.integers(1, 25))
def test_a_list_is_complete_for_every_page_size(count: int, cap: int) -> None:
    pages = [list(range(first, min(first + cap, count))) for first in range(0, count, cap)]
    server = server_of(*pages, total=count)
    reading = read_pages(server.read)
    with pytest.raises(StopIteration) as ended:
        reading.send(None)  # it never awaits I/O, so that no event loop is needed
    listing = ended.value.value
    assert (ids(listing), listing.is_complete) == (list(range(count)), True)
    assert server.asked == list(range(1, max(1, len(pages)) + 1))


async def test_pages_can_have_different_sizes() -> None:
    server = server_of([1], [2, 3, 4], [5, 6], total=6)
    assert ids(await read_pages(server.read)) == [1, 2, 3, 4, 5, 6]


async def test_the_last_version_of_a_duplicate_row_is_kept() -> None:
    server = server_of([1, 2], [2, 3], [4], total=4)
    listing = await read_pages(server.read)
    assert listing.rows == (Row(1, 1), Row(2, 2), Row(3, 2), Row(4, 3))
    assert listing.is_complete


@pytest.mark.parametrize(("totals", "is_consistent"), [((4, 4), True), ((5, 4), False), ((3, 4), False)])
async def test_a_changed_total_makes_a_list_inconsistent(totals: tuple[int, int], is_consistent: bool) -> None:  # noqa: FBT001 - the case
    """A row leaves page 1 before page 2 is read: a row of page 2 moves to page 1 and is missed."""
    pages = [(Row(1), Row(2)), (Row(4), Row(5)), ()]
    listing = await read_pages(Server(lambda number: Page(pages[number - 1], totals[min(number, 2) - 1])).read)
    assert (ids(listing), listing.is_complete, listing.is_consistent) == ([1, 2, 4, 5], True, is_consistent)


async def test_an_unstable_list_is_read_again() -> None:
    listings = iter(
        [Listing((Row(1),), 1, is_complete=True, is_stable=False), Listing((Row(1), Row(2)), 2, is_complete=True)]
    )

    async def read() -> Listing[Row]:
        return next(listings)

    assert ids(await read_until_stable(read)) == [1, 2]


async def test_reading_an_unstable_list_is_limited() -> None:
    readings: list[Listing[Row]] = []

    async def read() -> Listing[Row]:
        readings.append(Listing((Row(len(readings)),), 1, is_complete=True, is_stable=False))
        return readings[-1]

    listing = await read_until_stable(read)
    assert (ids(listing), listing.is_consistent, len(readings)) == ([MAX_READINGS - 1], False, MAX_READINGS)


async def test_a_missing_row_makes_a_list_incomplete() -> None:
    server = server_of([1, 2], [4, 5], total=5)
    listing = await read_pages(server.read)
    assert (ids(listing), listing.total, listing.is_complete) == ([1, 2, 4, 5], 5, False)
    assert server.asked == [1, 2, 3]


async def test_a_total_too_high_ends_at_the_first_empty_page() -> None:
    server = server_of([1], total=9)
    listing = await read_pages(server.read)
    assert (ids(listing), listing.total, listing.is_complete) == ([1], 9, False)
    assert server.asked == [1, 2]


async def test_a_total_too_low_keeps_all_received_rows() -> None:
    server = server_of([1, 2, 3], [4], total=2)
    listing = await read_pages(server.read)
    assert (ids(listing), listing.total, listing.is_complete) == ([1, 2, 3], 2, True)


@pytest.mark.parametrize("pages", [[[1, 2], [3]], [[1, 2, 3]]])
async def test_without_total_pages_are_read_until_one_is_empty(pages: list[list[int]]) -> None:
    server = server_of(*pages, total=None)
    listing = await read_pages(server.read)
    assert (ids(listing), listing.total, listing.is_complete) == ([1, 2, 3], None, False)
    assert len(server.asked) == len(pages) + 1


async def test_a_growing_list_is_read_to_its_end() -> None:
    server = Server(lambda number: Page((Row(number),), min(number + 1, 3)))
    listing = await read_pages(server.read)
    assert (ids(listing), listing.total, listing.is_complete) == ([1, 2, 3], 3, True)


async def test_a_repeated_page_ends_the_list() -> None:
    server = Server(lambda _: Page((Row(1), Row(2)), 100))
    listing = await read_pages(server.read)
    assert (ids(listing), listing.is_complete, server.asked) == ([1, 2], False, [1, 2])


async def test_an_empty_list_is_complete() -> None:
    server = server_of(total=0)
    assert await read_pages(server.read) == Listing((), 0, is_complete=True)
    assert server.asked == [1]


async def test_an_endless_list_ends_at_the_page_limit() -> None:
    server = Server(lambda number: Page((Row(number),), 10**9))
    listing = await read_pages(server.read)
    assert (len(listing.rows), listing.is_complete, len(server.asked)) == (MAX_PAGES, False, MAX_PAGES)


async def test_max_rows_stops_reading() -> None:
    server = server_of([1, 2], [3, 4], [5], total=5)
    listing = await read_pages(server.read, max_rows=3)
    assert (ids(listing), listing.total, listing.is_complete) == ([1, 2, 3], 5, True)
    assert server.asked == [1, 2]


async def test_max_rows_zero_reads_one_page() -> None:
    server = server_of([1], [2], total=1000)
    listing = await read_pages(server.read, max_rows=0)
    assert (listing.rows, listing.total, server.asked) == ((), 1000, [1])


async def test_an_error_of_a_page_is_raised() -> None:
    """A partial list is never returned."""

    def page(number: int) -> Page[Row]:
        if number == 2:
            raise ConnectionError
        return Page((Row(number),), 3)

    server = Server(page)
    with pytest.raises(ConnectionError):
        await read_pages(server.read)
    assert server.asked == [1, 2]


async def test_a_given_first_page_is_not_fetched_again() -> None:
    server = server_of([1, 2], [3], total=3)
    first = await server.read(1)
    listing = await read_pages(server.read, first=first)
    assert (ids(listing), listing.is_complete, server.asked) == ([1, 2, 3], True, [1, 2])


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 60), st.integers(1, 25), st.integers(0, 30), st.sampled_from(["ascending", "descending"]))
def test_read_newest_returns_the_highest_ids_in_either_order(count: int, cap: int, wanted: int, order: str) -> None:
    everything = sorted(range(count), reverse=order == "descending")
    server = server_of(*(everything[first : first + cap] for first in range(0, count, cap)), total=count)
    reading = read_newest(server.read, wanted)
    with pytest.raises(StopIteration) as ended:
        reading.send(None)
    listing: Listing[Row] = ended.value.value
    assert ids(listing) == sorted(everything, reverse=True)[:wanted]
    assert (listing.total, listing.is_complete) == (count, True)
    assert len(server.asked) <= 2 + -(-wanted // cap)


async def test_a_wrong_total_does_not_cause_endless_reading() -> None:
    server = Server(lambda number: Page((Row(7, number),), 2323))
    listing = await read_newest(server.read, 50)
    assert (ids(listing), listing.total, listing.is_complete) == ([7], 2323, False)
    assert server.asked == [1, 2]


async def test_an_unordered_list_uses_the_first_pages() -> None:
    server = server_of([5, 1, 4], [2, 9, 3], [8, 7, 6], total=9)
    assert ids(await read_newest(server.read, 4)) == [9, 5, 4, 3]


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param([[9, 7], [6, 5, 4], [3, 2, 1]], id="the first page lacks a row"),
        pytest.param([[9, 8, 7], [6, 4], [3, 2, 1]], id="a later page lacks a row"),
        pytest.param([[9, 8, 9], [6, 5, 4], [3, 2, 1]], id="the first page repeats a row"),
        pytest.param([[9, 8, 7], [9, 5, 4], [3, 2, 1]], id="a later page repeats a row"),
        pytest.param([[9], [6, 5, 4], [3, 2, 1]], id="the first page is capped"),
        pytest.param([[], [6, 5, 4], [3, 2, 1]], id="the first page is empty"),
        pytest.param([[1, 3], [4, 5, 6], [7, 8, 9]], id="the first page lacks a row of an ascending list"),
        pytest.param([[1, 2, 3], [4, 5, 6], [7, 9]], id="the last page lacks a row of an ascending list"),
    ],
)
async def test_a_missing_or_duplicate_row_makes_the_newest_incomplete(pages: list[list[int]]) -> None:
    listing = await read_newest(server_of(*pages, total=9).read, 4, page_size=100)
    assert not listing.is_complete


async def test_a_short_first_page_is_compared_with_the_last_page() -> None:
    """Either pages are capped, or the first page lacks a row."""
    whole, lacking = server_of([9, 8], [7, 6], [5], total=5), server_of([9, 8], [6, 5], total=5)
    assert (await read_newest(whole.read, 1, page_size=100)).is_complete
    assert not (await read_newest(lacking.read, 1, page_size=100)).is_complete
    assert whole.asked == lacking.asked == [1, 3]


async def test_a_full_first_page_is_enough() -> None:
    server = server_of([9, 8], [7, 6], [5], total=5)
    assert (await read_newest(server.read, 1, page_size=2)).is_complete
    assert server.asked == [1]


async def test_read_newest_without_total_uses_the_first_page() -> None:
    server = server_of([1, 2, 3], [4, 5], total=None)
    listing = await read_newest(server.read, 2)
    assert (ids(listing), listing.is_complete, server.asked) == ([3, 2], False, [1])


async def test_rows_beside_a_total_of_0_make_the_newest_incomplete() -> None:
    server = server_of([3, 2, 1], total=0)
    assert not (await read_newest(server.read, 2)).is_consistent
