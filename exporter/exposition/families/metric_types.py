"""What a row of the metric table is, and the samples that rows of several parts take alike. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from exporter.collect.state.job_state import UNKNOWN

P = TypeVar("P")

Sample = tuple[tuple[str | None, ...], float]
"""The values of the labels that the family adds, None for an empty one, and the value."""


@dataclass(frozen=True, slots=True)
class Family(Generic[P]):
    """One metric family and how its samples are taken from a part of the snapshot."""

    name: str
    help: str
    samples: Callable[[P], Iterable[Sample]]
    """A tuple is one that many parts have, without a text of the API's: its lines are remembered."""
    labels: tuple[str, ...] = ()
    """Beyond those that every family of its part carries."""


def itself(part: P) -> tuple[tuple[tuple[()], P]]:
    """Return a part as the one member of itself."""
    return (((), part),)


@dataclass(frozen=True, slots=True)
class MetricGroup(Generic[P]):
    """One kind of part of a snapshot: the labels all of its families carry, and the families."""

    labels: tuple[str, ...]
    label_values: Callable[[P], tuple[str, ...]]
    families: tuple[Family[Any], ...]
    members: Callable[[P], Iterable[tuple[tuple[str | None, ...], Any]]] = itself
    """What the families take samples from, and the values of its own labels: the part itself, or what it holds."""
    member_labels: tuple[str, ...] = ()

    def labels_of(self, family: Family[Any]) -> tuple[str, ...]:
        """Return the names of all labels of a family, in their order."""
        return *self.labels, *self.member_labels, *family.labels


def one(value: float | None) -> tuple[Sample, ...]:
    """Return the one sample of a family without labels of its own; none for None."""
    return () if value is None else (((), value),)


def by_status(values: Mapping[str, int | None]) -> list[Sample]:
    """Return the number in each status; none for None."""
    return [((status,), value) for status, value in values.items() if value is not None]


@lru_cache(maxsize=256)
def in_status(value: str | None, known: tuple[str, ...]) -> tuple[Sample, ...]:
    """Return 1 for the status that holds and 0 for the others; UNKNOWN holds for one that is not known."""
    if value is None:
        return ()
    current = value.upper() if value.upper() in known else UNKNOWN
    return tuple(((status,), float(status == current)) for status in (*known, UNKNOWN))
