"""Prometheus text formats: values, labels, sample lines and metadata lines. Pure.

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
"""Longer label values are truncated and end in an ellipsis."""

_CACHE_SIZE: Final = 256
"""Size of each cache: few texts recur often, and larger caches would fill with removed series."""

_HELP: Final = b"# HELP "
_FAMILY: Final = re.compile(rb"^(?=# HELP )", re.MULTILINE)
_END: Final = b"# EOF\n"
_PREFIX: Final = "\0"
_MILLION: Final = 1_000_000
"""Go writes an exponent from this value on."""
_MAX_EXACT: Final = 2**53
"""Floats represent every smaller integer exactly."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def label_value(text: str | None) -> str:
    """Return a label value, truncated and escaped."""
    if not text:
        return ""
    if len(text) > MAX_LABEL_CHARACTERS:
        text = f"{text[: MAX_LABEL_CHARACTERS - 1]}…"
    is_plain = '"' not in text and "\\" not in text and "\n" not in text
    return text if is_plain else text.translate(_ESCAPES)


@lru_cache(maxsize=_CACHE_SIZE)
def number(value: float) -> str:
    """Format a value like Go's `%g`, which Prometheus uses."""
    if abs(value) < _MILLION and value == int(value):
        return str(int(value))
    if value == int(value) and abs(value) < _MAX_EXACT:
        whole = str(int(value))
        return _scientific(whole[:1] == "-", whole.lstrip("-").rstrip("0"), len(whole.lstrip("-")) - 1)
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    point = len(digits) + int(exponent) - 1
    if -5 < point < 6:  # noqa: PLR2004 - Go's bounds for numbers without exponent
        return f"{Decimal(repr(float(value))):f}"
    return _scientific(bool(sign), "".join(map(str, digits)), point)


def _scientific(is_negative: bool, digits: str, point: int) -> str:  # noqa: FBT001 - the sign is a part of the number
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{'-' if is_negative else ''}{mantissa}e{'-' if point < 0 else '+'}{abs(point):02d}"


def sample_lines(family: Family[Any], prefix: str, part: object) -> str:
    """Return the sample lines of a family for one part.

    `prefix` holds the labels of the part, as `labels_text` returns them. Duplicate label sets are written once.
    """
    samples = family.samples(part)
    if not family.labels:
        return "".join([f"{family.name}{{{prefix}}} {number(value)}\n" for _, value in samples])
    if isinstance(samples, tuple):
        return _line_template(family.name, family.labels, samples).replace(_PREFIX, prefix)
    return _lines(family.name, family.labels, samples, prefix)


@lru_cache(maxsize=_CACHE_SIZE)
def _line_template(name: str, labels: tuple[str, ...], samples: tuple[Sample, ...]) -> str:
    """Return sample lines with _PREFIX in place of the part's labels."""
    return _lines(name, labels, samples, _PREFIX)


def _lines(name: str, labels: tuple[str, ...], samples: Iterable[Sample], prefix: str) -> str:
    lines = {_own_labels_text(labels, values): number(value) for values, value in samples}
    return "".join([f"{name}{{{prefix},{own_labels}}} {value}\n" for own_labels, value in lines.items()])


@lru_cache(maxsize=_CACHE_SIZE)
def _own_labels_text(names: tuple[str, ...], values: tuple[str | None, ...]) -> str:
    return labels_text(names, values)


def labels_text(names: Sequence[str], values: Iterable[str | None]) -> str:
    """Return labels as written between braces."""
    return _labels_template(tuple(names)) % tuple(map(label_value, values))


@lru_cache(maxsize=_CACHE_SIZE)
def _labels_template(names: tuple[str, ...]) -> str:
    return ",".join([f'{name}="%s"' for name in names])


def metadata_lines(family: Family[Any]) -> bytes:
    """Return the HELP and TYPE lines, identical in both formats."""
    return f"# HELP {family.name} {family.help}\n# TYPE {family.name} gauge\n".encode()


def family_name(text: bytes) -> str:
    """Return the name of the first family in `text`, without `_total`."""
    # OpenMetrics metadata omits the suffix.
    return text[len(_HELP) : text.index(b" ", len(_HELP))].decode().removesuffix("_total")


def filtered(exposition: bytes, names: Container[str]) -> bytes:
    """Return the families in `names`, and the OpenMetrics EOF line if present."""
    text = exposition.removesuffix(_END)
    families = [family for family in _FAMILY.split(text) if family and family_name(family) in names]
    return b"".join(families) + exposition[len(text) :]
