"""Types of the metric table, and sample functions that several rows share. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, Literal, TypeVar

from exporter.mms.models.statuses import UNKNOWN, ApiEnum

P = TypeVar("P")

Sample = tuple[tuple[str | None, ...], float]
"""Values of the family's own labels, None for an empty one, and the sample value."""

PartKind = Literal[
    "account",
    "collector",
    "source",
    "source_row",
    "jobs",
    "databases",
    "scan",
    "failures",
    "reasons",
    "timers",
    "tasks",
    "table",
    "partition",
]
"""Kinds of parts of a snapshot that metric groups render."""


@dataclass(frozen=True, slots=True)
class Family(Generic[P]):
    """A metric family and the function that takes its samples from a part."""

    name: str
    help: str
    samples: Callable[[P], Iterable[Sample]]
    """Lines of tuple samples are cached, so a tuple must not hold texts from the API."""
    labels: tuple[str, ...] = ()
    """In addition to the labels of the metric group."""


def single_member(part: P) -> tuple[tuple[tuple[()], P]]:
    """Return the part as its only member, without labels."""
    return (((), part),)


SOURCE_LABELS: Final = ("account", "source_id", "source")


def source_label_values(part: Any) -> tuple[str, ...]:  # noqa: ANN401 - any part with the name of its source
    """Return the values of SOURCE_LABELS."""
    return part.name.account, str(part.name.source_id), part.name.source


@dataclass(frozen=True, slots=True)
class MetricGroup(Generic[P]):
    """Families taken from the same kind of part, with their common labels."""

    part: PartKind
    families: tuple[Family[Any], ...]
    labels: tuple[str, ...] = SOURCE_LABELS
    label_values: Callable[[P], tuple[str, ...]] = source_label_values
    members: Callable[[P], Iterable[tuple[tuple[str | None, ...], Any]]] = single_member
    """Returns what the families take samples from, with the values of `member_labels`."""
    member_labels: tuple[str, ...] = ()

    def labels_of(self, family: Family[Any]) -> tuple[str, ...]:
        """Return the names of all labels of a family, in order."""
        return *self.labels, *self.member_labels, *family.labels


def one(value: float | None) -> tuple[Sample, ...]:
    """Return a sample without own labels; nothing for None."""
    return () if value is None else (((), value),)


def by_status(values: Mapping[str, int | None]) -> list[Sample]:
    """Return one sample per status, omitting None."""
    return [((status,), value) for status, value in values.items() if value is not None]


@lru_cache(maxsize=256, typed=True)  # statuses of two kinds are equal as texts
def in_status(current: ApiEnum | None) -> tuple[Sample, ...]:
    """Return 1 for the active status, 0 for the others of its kind."""
    if current is None:
        return ()
    return tuple(((status,), float(status == current.name)) for status in (*type(current), UNKNOWN))
