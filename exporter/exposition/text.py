"""The text formats of Prometheus: values, labels, samples and heads of families. Pure.

Sources: the Prometheus text format 0.0.4 and OpenMetrics 1.0. Sample lines are the same in both.
"""

import re
from collections.abc import Container, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, Literal

from exporter.exposition.families.metric_types import Family, Sample

Format = Literal["text", "openmetrics"]

MAX_LABEL_CHARACTERS: Final = 512
"""A longer label value is cut here and ends in an ellipsis."""

CACHED: Final = 256
"""Of the texts of values and labels, so many are remembered: few come back often. More would fill up with what left."""

_HELP: Final = b"# HELP "
_FAMILY: Final = re.compile(rb"^(?=# HELP )", re.MULTILINE)
_END: Final = b"# EOF\n"
_PREFIX: Final = "\0"
_MILLION: Final = 1_000_000
"""From here on, Go writes an exponent."""
_EXACT: Final = 2**53
"""Below it, a whole number is the same as a float."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def label_value(text: str | None) -> str:
    """Return a label's value, cut and escaped."""
    if not text:
        return ""
    if len(text) > MAX_LABEL_CHARACTERS:
        text = f"{text[: MAX_LABEL_CHARACTERS - 1]}…"
    is_plain = '"' not in text and "\\" not in text and "\n" not in text
    return text if is_plain else text.translate(_ESCAPES)


@lru_cache(maxsize=CACHED)
def number(value: float) -> str:
    """Return a value as Go's `%g` with the shortest digits writes it, which is what Prometheus shows."""
    if abs(value) < _MILLION and value == int(value):
        return str(int(value))
    if value == int(value) and abs(value) < _EXACT:
        whole = str(int(value))
        return _scientific(whole[:1] == "-", whole.lstrip("-").rstrip("0"), len(whole.lstrip("-")) - 1)
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    point = len(digits) + int(exponent) - 1
    if -5 < point < 6:  # noqa: PLR2004 - Go's bounds for a plain number
        return f"{Decimal(repr(float(value))):f}"
    return _scientific(bool(sign), "".join(map(str, digits)), point)


def _scientific(is_negative: bool, digits: str, point: int) -> str:  # noqa: FBT001 - the parts of a number
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{'-' if is_negative else ''}{mantissa}e{'-' if point < 0 else '+'}{abs(point):02d}"


def sample_lines(family: Family[Any], prefix: str, part: object) -> str:
    """Return the lines of a family's samples in one part of a snapshot.

    `prefix` is the part's own labels, as `labels_text` returns them. Samples of the same labels are written once.
    """
    samples = family.samples(part)
    if not family.labels:
        return "".join([f"{family.name}{{{prefix}}} {number(value)}\n" for _, value in samples])
    if isinstance(samples, tuple):
        return _form(family.name, family.labels, samples).replace(_PREFIX, prefix)
    return _lines(family.name, family.labels, samples, prefix)


@lru_cache(maxsize=CACHED)
def _form(name: str, labels: tuple[str, ...], samples: tuple[Sample, ...]) -> str:
    """Return the lines of samples that many parts have alike, with _PREFIX in place of the part's own labels."""
    return _lines(name, labels, samples, _PREFIX)


def _lines(name: str, labels: tuple[str, ...], samples: Iterable[Sample], prefix: str) -> str:
    lines = {_further_labels(labels, values): number(value) for values, value in samples}
    return "".join([f"{name}{{{prefix},{further}}} {value}\n" for further, value in lines.items()])


@lru_cache(maxsize=CACHED)
def _further_labels(names: tuple[str, ...], values: tuple[str | None, ...]) -> str:
    return labels_text(names, values)


def labels_text(names: Sequence[str], values: Iterable[str | None]) -> str:
    """Return labels as they stand between braces."""
    return _labels_form(tuple(names)) % tuple(map(label_value, values))


@lru_cache(maxsize=CACHED)
def _labels_form(names: tuple[str, ...]) -> str:
    return ",".join([f'{name}="%s"' for name in names])


def head(family: Family[Any]) -> bytes:
    """Return a family's HELP and TYPE lines, the same in both formats."""
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n".encode()


def family_name(text: bytes) -> str:
    """Return the name of the family that `text` starts with, without `_total`, which OpenMetrics leaves out."""
    return text[len(_HELP) : text.index(b" ", len(_HELP))].decode().removesuffix("_total")


def filtered(exposition: bytes, names: Container[str]) -> bytes:
    """Return the families in `names`, given as by `family_name`, and the end of an OpenMetrics text."""
    text = exposition.removesuffix(_END)
    families = [family for family in _FAMILY.split(text) if family and family_name(family) in names]
    return b"".join(families) + exposition[len(text) :]
