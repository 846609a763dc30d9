"""Benchmark results: a value, its reference and its target. Pure."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct


class Bound(Struct, frozen=True):
    """The target of a figure: at least or at most `limit`."""

    kind: Literal["at least", "at most"]
    limit: float
    of: Literal["ratio", "value"] = "ratio"


class Figure(Struct, frozen=True, kw_only=True):
    """One row of the table."""

    what: str
    value: float
    unit: str = "ms"
    beside: str = ""
    """The reference, measured in the same run, alternating."""
    beside_value: float | None = None
    bound: Bound | None = None

    @property
    def ratio(self) -> float | None:
        """Speed relative to the reference; with an upper bound, cost relative to it."""
        if self.beside_value is None or not self.beside_value or not self.value:
            return None
        is_cost = self.bound is not None and self.bound.kind == "at most"
        return self.value / self.beside_value if is_cost else self.beside_value / self.value

    @property
    def is_kept(self) -> bool | None:
        """Whether the target is met; None without a target."""
        if self.bound is None:
            return None
        judged = self.value if self.bound.of == "value" else self.ratio
        if judged is None:
            return False
        return judged >= self.bound.limit if self.bound.kind == "at least" else judged <= self.bound.limit

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the cells of the table row."""
        beside = "" if self.beside_value is None else f"{self.beside}: {_short(self.beside_value)} {self.unit}"
        ratio = "" if self.ratio is None else f"{_short(self.ratio)} x"
        return self.what, f"{_short(self.value)} {self.unit}".rstrip(), beside, ratio, self._verdict()

    def _verdict(self) -> str:
        if self.bound is None:
            return ""
        unit = " x" if self.bound.of == "ratio" else f" {self.unit}".rstrip()
        return f"{self.bound.kind} {self.bound.limit:g}{unit}: {'met' if self.is_kept else 'missed'}"


def _short(value: float) -> str:
    """Return at least three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


HEAD = ("measurement", "value", "reference", "ratio", "target")


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as an aligned table."""
    rows = [HEAD, *(each.cells() for each in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
