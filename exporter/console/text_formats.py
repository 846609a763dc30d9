"""Figures as people read them, and times as machines do. Pure; None, which MMS left out, is an empty text."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from rich.filesize import decimal

from exporter.masking import masked
from exporter.mms.times import unix_seconds

MAX_CELL_CHARACTERS: Final = 120
"""Of a text in a table for people; JSON, CSV and `show` have it whole."""
STOPPED: Final = "(stopped)"
"""Behind the status of a job that was stopped."""
_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_MIN_SPANS: Final = 2
"""From so many of a unit on, it is the one to tell an age in: 90 minutes, and then 2 hours."""


def amount(number: int | None) -> str:
    """Return a whole number with commas."""
    return "" if number is None else f"{number:,}"


def share(done: int | None, total: int | None) -> str:
    """Return how many of how many."""
    return "" if done is None or total is None else f"{done:,}/{total:,}"


def size(number: int | None) -> str:
    """Return a number of bytes in a unit that fits."""
    return "" if number is None else decimal(number)


def percent(ratio: float | None) -> str:
    """Return a ratio of 1 in whole percent; 100 is said of all only, and 0 of nothing only."""
    if ratio is None:
        return ""
    return f"{round(ratio * 100) if ratio in {0, 1} else min(99, max(1, round(ratio * 100)))}%"


def shortened(text: str) -> str:
    """Return a text that is not too long for a cell."""
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[: MAX_CELL_CHARACTERS - 1]}…"


def place(*names: str | None) -> str:
    """Return names from the outer to the inner, with dots between."""
    return ".".join(name for name in names if name)


def rfc3339(text: str | None, zone: ZoneInfo) -> str | None:
    """Return a time of the API with its zone; as MMS wrote it, without secrets, where that is no time."""
    seconds = unix_seconds(text, zone)
    if seconds is None:
        return text and masked(text)
    return datetime.fromtimestamp(seconds, zone).isoformat()


def age(text: str | None, zone: ZoneInfo, now: float) -> str:
    """Return how long ago a time of the API was, or how far ahead it is; as in `rfc3339` where that is no time."""
    seconds = unix_seconds(text, zone)
    if seconds is None:
        return masked(text or "")
    length = abs(now - seconds)
    unit, name = next((span for span in _SPANS if length >= _MIN_SPANS * span[0]), _SPANS[-1])
    told = f"{length // unit:.0f}{name}"
    return f"in {told}" if seconds > now else f"{told} ago"
