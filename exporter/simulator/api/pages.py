"""Pages of a list: `total` of the matching rows, and the rows of one page. Builds no row of other pages."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Generic, NamedTuple, TypeVar

from exporter.simulator.api.parameters import Query

DEFAULT_PAGE_SIZE = 20
PAGE_NAMES = ("pageNum", "pageSize")
Item = TypeVar("Item")


class Tweaks(NamedTuple):
    """Changes to the paging of one answer, for faults."""

    cap: int | None = None
    """Replaces the page size limit."""
    shift: int = 0
    """Offset of every page but the first, in rows: below 0 repeats rows, above 0 skips rows."""
    total: int | None = None
    """Value reported as `total`."""
    lost: int | None = None
    """Index of the row to omit from the page, from 0; the last row if the page is shorter."""
    repeated: int | None = None
    """Index, like `lost`, of the row to replace by the first row of the list."""
    is_reversed: bool = False
    """Whether the list is reversed."""


@dataclass(frozen=True, slots=True)
class Group(Generic[Item]):
    """Consecutive items of a list with a known count."""

    count: int
    items: Callable[[], Iterable[Item]]


def group(items: Sequence[Item]) -> Group[Item]:
    """Return a group of existing items."""
    return Group(len(items), lambda: items)


@dataclass(frozen=True, slots=True)
class ResultPage:
    """The requested part of a list."""

    number: int
    size: int | None
    """None: the whole list."""
    tweaks: Tweaks

    def of(self, groups: Sequence[Group[Item]], row: Callable[[Item], dict[str, Any]]) -> dict[str, Any]:
        """Return the answer's `data` with the rows of this page."""
        total = sum(part.count for part in groups)
        if self.tweaks.is_reversed:
            groups = [_reversed(part) for part in reversed(groups)]
        size = total if self.size is None else self.size
        first = (self.number - 1) * size
        if self.number > 1:
            first = max(0, first + self.tweaks.shift)
        return {
            "total": total if self.tweaks.total is None else self.tweaks.total,
            "objectList": [row(item) for item in self._tweaked(groups, list(_window(groups, first, size)))],
            "pageNum": self.number,
            "pageSize": size,
        }

    def _tweaked(self, groups: Sequence[Group[Item]], items: list[Item]) -> list[Item]:
        if items and self.tweaks.repeated is not None:
            items[min(self.tweaks.repeated, len(items) - 1)] = next(_window(groups, 0, 1))
        if items and self.tweaks.lost is not None:
            del items[min(self.tweaks.lost, len(items) - 1)]
        return items


def _reversed(part: Group[Item]) -> Group[Item]:
    return Group(part.count, lambda: reversed(list(part.items())))


def page_of(query: Query, cap: int, tweaks: Tweaks, *, all_by_default: bool = False) -> ResultPage:
    """Return the requested page, limited to `cap` rows."""
    number = query.integer("pageNum", 1, least=1)
    size = min(query.integer("pageSize", DEFAULT_PAGE_SIZE, least=1), tweaks.cap or cap)
    return ResultPage(number, None if all_by_default and "pageNum" not in query else size, tweaks)


def _window(groups: Sequence[Group[Item]], first: int, size: int) -> Iterator[Item]:
    """Yield `size` items from `first`; earlier groups stay lazy."""
    kept = 0
    while kept < len(groups) and first >= groups[kept].count:
        first -= groups[kept].count
        kept += 1
    return islice(chain.from_iterable(part.items() for part in groups[kept:]), first, first + size)
