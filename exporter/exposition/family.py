"""What a row of the metric table is, and the samples that rows of several parts take alike. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from exporter.collect.job_memory import UNKNOWN

P = TypeVar("P")

Sample = tuple[tuple[str | None, ...], float]
"""The values of the labels that the family adds, None for an empty one, and the value."""


@dataclass(frozen=True, slots=True)
class Family(Generic[P]):
    """One metric family and how its samples are taken from a part of the snapshot."""

    name: str
    help: str
    samples: Callable[[P], Iterable[Sample]]
    labels: tuple[str, ...] = ()
    """Beyond those that every family of its part carries."""
    kind: Literal["gauge", "info"] = "gauge"


@dataclass(frozen=True, slots=True)
class Part(Generic[P]):
    """One kind of part of a snapshot: the labels all of its families carry, and the families."""

    labels: tuple[str, ...]
    label_values: Callable[[P], tuple[str, ...]]
    families: tuple[Family[P], ...]


def one(value: float | None) -> Iterator[Sample]:
    """Yield the one sample of a family without labels of its own; none for None."""
    if value is not None:
        yield (), value


def by_status(values: Mapping[str, int | None]) -> Iterator[Sample]:
    """Yield the number in each status; none for None."""
    for status, value in values.items():
        if value is not None:
            yield (status,), value


def in_status(value: str | None, known: tuple[str, ...]) -> Iterator[Sample]:
    """Yield 1 for the status that holds and 0 for the others; UNKNOWN holds for one that is not known."""
    if value is not None:
        current = value.upper() if value.upper() in known else UNKNOWN
        for status in (*known, UNKNOWN):
            yield (status,), float(status == current)
