"""The text formats of Prometheus: values, labels, samples and heads of families. Pure.

Sources: the Prometheus text format 0.0.4 and OpenMetrics 1.0. Sample lines are the same in both.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

from exporter.exposition.family import Family

Format = Literal["text", "openmetrics"]

MAX_LABEL_CHARACTERS: Final = 512
"""A longer label value is cut here and ends in an ellipsis."""

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def label_value(text: str | None) -> str:
    """Return a label's value, cut and escaped."""
    if not text:
        return ""
    if len(text) > MAX_LABEL_CHARACTERS:
        text = f"{text[: MAX_LABEL_CHARACTERS - 1]}…"
    return text.translate(_ESCAPES)


def number(value: float) -> str:
    """Return a value as Go's `%g` with the shortest digits writes it, which is what Prometheus shows."""
    if value == int(value) and abs(value) < 1_000_000:  # noqa: PLR2004 - from here on, Go writes an exponent
        return str(int(value))
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    point = len(digits) + int(exponent) - 1
    text = "".join(map(str, digits))
    if -5 < point < 6:  # noqa: PLR2004 - Go's bounds for a plain number
        return f"{Decimal(repr(float(value))):f}"
    mantissa = f"{text[0]}.{text[1:]}" if len(text) > 1 else text
    return f"{'-' if sign else ''}{mantissa}e{'-' if point < 0 else '+'}{abs(point):02d}"


def sample_lines(family: Family[Any], prefix: str, part: object) -> tuple[bytes, int]:
    """Return the lines of a family's samples in one part of a snapshot, and how many samples there are.

    `prefix` is the part's own labels, as `labels_text` returns them. Samples of the same labels are written once.
    """
    lines = {
        f"{family.name}{{{_joined(prefix, labels_text(family.labels, values))}}} ": value
        for values, value in family.samples(part)
    }
    return "".join(f"{line}{number(value)}\n" for line, value in lines.items()).encode(), len(lines)


def labels_text(names: Sequence[str], values: Iterable[str | None]) -> str:
    """Return labels as they stand between braces."""
    return ",".join(f'{name}="{label_value(value)}"' for name, value in zip(names, values, strict=True))


def _joined(prefix: str, labels: str) -> str:
    return f"{prefix},{labels}" if labels else prefix


def head(family: Family[Any], text_format: Format) -> bytes:
    """Return a family's HELP and TYPE lines."""
    name, kind = family.name, "gauge"
    if text_format == "openmetrics" and family.kind == "info":
        name, kind = family.name.removesuffix("_info"), "info"
    return f"# HELP {name} {family.help}\n# TYPE {name} {kind}\n".encode()
