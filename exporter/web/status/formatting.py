"""Texts, numbers and times: truncated for the report, formatted for the page. Pure; escapes no HTML."""

from bisect import bisect_right
from datetime import UTC, datetime
from html import escape
from math import floor
from typing import Final

import msgspec

from exporter.masking import printable

MAX_BYTES: Final = 512
"""Maximum size of a text in JSON. A character takes 1 byte in English, 3 in Chinese and 6 if escaped."""
NOTHING: Final = "—"
MAX_CHARACTERS: Final = 120
"""Maximum length of a name in a table."""
MAX_TITLE_BYTES: Final = 512
"""Maximum size of an escaped tooltip."""

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def truncated(text: str) -> str:
    """Return a text, truncated to MAX_BYTES and an ellipsis."""
    text = text[: MAX_BYTES + 1].encode("utf-8", "backslashreplace").decode()
    if _size(text) <= MAX_BYTES:
        return text
    length = bisect_right(range(len(text)), MAX_BYTES, key=lambda length: _size(text[:length])) - 1
    return f"{text[:length]}…"


def _size(text: str) -> int:
    return len(msgspec.json.encode(text)) - len('""')


def optional_text(text: str | None) -> str | None:
    """Return a truncated text; None for None."""
    return None if text is None else truncated(text)


def utc_time(at: float) -> datetime:
    """Convert a Unix time to UTC, in whole seconds."""
    return datetime.fromtimestamp(int(at), UTC)


def optional_time(at: float | None) -> datetime | None:
    """Convert a Unix time to UTC; None for None."""
    return None if at is None else utc_time(at)


def printable_text(text: str | None) -> str:
    """Return a text with control and direction characters escaped."""
    return printable(text) if text else NOTHING


def shortened(text: str | None) -> str:
    """Return a printable name, truncated to MAX_CHARACTERS."""
    full = printable_text(text)
    return full if len(full) <= MAX_CHARACTERS else f"{full[: MAX_CHARACTERS - 1]}…"


def tooltip(text: str | None) -> str | None:
    """Return the full name of a shortened one, otherwise None."""
    full = printable_text(text)
    is_shown = len(full) > MAX_CHARACTERS and len(escape(full).encode()) <= MAX_TITLE_BYTES
    return full if is_shown else None


def number(value: int | None) -> str:
    """Return a number with thousands separators."""
    return NOTHING if value is None else f"{value:,}"


def with_noun(value: int | None, noun: str) -> str:
    """Return a number with a noun in singular or plural."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def percent(ratio: float | None) -> str:
    """Return a ratio as a percentage, rounded down."""
    if ratio is None:
        return NOTHING
    return "100 %" if ratio >= 1 else f"{floor(ratio * 1000) / 10:.1f} %"


def duration(seconds: float | None) -> str:
    """Return a duration in its largest unit."""
    if seconds is None:
        return NOTHING
    unit, length = next((each for each in _UNITS if seconds >= each[1]), ("ms", 0.001))
    return f"{seconds / length:.1f} {unit}" if unit != "ms" else f"{seconds / length:.0f} ms"


def size(value: int | None) -> str:
    """Return a size in its largest unit."""
    if value is None:
        return NOTHING
    if value < 1000:  # noqa: PLR2004 - kB starts here
        return f"{value} B"
    power = min((len(str(value)) - 1) // 3, 6)
    return f"{value / 1000**power:.1f} {'kMGTPE'[power - 1]}B"


def utc_text(at: datetime) -> str:
    """Return a time as text in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
