"""Formats numbers and times. Pure; None becomes an empty text."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from rich.filesize import decimal

from exporter.masking import masked
from exporter.mms.times import unix_seconds

MAX_CELL_CHARACTERS: Final = 120
"""Longest text in a table cell; JSON, CSV and `show` have the full text."""
STOPPED: Final = "(stopped)"
"""Suffix of the status of a stopped job."""
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_MIN_SPANS: Final = 2
"""An age of at least this many units uses the unit: 119m, then 2h."""


def amount(number: int | None) -> str:
    """Return a number with thousands separators."""
    return "" if number is None else f"{number:,}"


def share(done: int | None, total: int | None) -> str:
    """Return `done/total`."""
    return "" if done is None or total is None else f"{done:,}/{total:,}"


def size(number: int | None) -> str:
    """Return a number of bytes with a unit."""
    return "" if number is None else decimal(number)


def percent(ratio: float | None) -> str:
    """Return a ratio as whole percent; 0% and 100% are exact."""
    if ratio is None:
        return ""
    return f"{round(ratio * 100) if ratio in {0, 1} else min(99, max(1, round(ratio * 100)))}%"


def shortened(text: str) -> str:
    """Return a text cut to the width of a cell."""
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[: MAX_CELL_CHARACTERS - 1]}…"


def dotted_name(*names: str | None) -> str:
    """Return names from outer to inner, joined with dots."""
    return ".".join(name for name in names if name)


def rfc3339(text: str | None, zone: ZoneInfo) -> str | None:
    """Return an API time with its zone; masked as it is if invalid."""
    seconds = unix_seconds(text, zone)
    if seconds is None:
        return text and masked(text)
    return datetime.fromtimestamp(seconds, zone).isoformat()


def age(text: str | None, zone: ZoneInfo, now: float) -> str:
    """Return the age of an API time; masked as it is if invalid."""
    seconds = unix_seconds(text, zone)
    if seconds is None:
        return masked(text or "")
    length = abs(now - seconds)
    unit, name = next((span for span in _SPANS if length >= _MIN_SPANS * span[0]), _SPANS[-1])
    text = f"{length // unit:.0f}{name}"
    return f"in {text}" if seconds > now else f"{text} ago"
