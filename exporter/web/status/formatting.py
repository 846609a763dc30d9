"""Figures, names and times as people read them. Pure; what it returns is text, yet to be escaped in a page."""

from datetime import datetime
from html import escape
from math import floor
from typing import Final

from exporter.masking import printable

NOTHING: Final = "—"
MAX_CHARACTERS: Final = 120
"""Of a name in a table."""
MAX_TITLE_BYTES: Final = 512
"""Of the whole of it in an attribute, as it is escaped there."""

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def visible(text: str | None) -> str:
    """Return a text in which nothing is hidden: what turns, breaks or joins text stands there by its number."""
    return printable(text) if text else NOTHING


def short(text: str | None) -> str:
    """Return a name as `visible` has it, cut where it is too long for a table."""
    whole = visible(text)
    return whole if len(whole) <= MAX_CHARACTERS else f"{whole[: MAX_CHARACTERS - 1]}…"


def rest(text: str | None) -> str | None:
    """Return the whole of a name that `short` cuts, to stand beside it; None where it is too long, or not cut."""
    whole = visible(text)
    has_room = len(whole) > MAX_CHARACTERS and len(escape(whole).encode()) <= MAX_TITLE_BYTES
    return whole if has_room else None


def number(value: int | None) -> str:
    """Return a number of things, its thousands apart."""
    return NOTHING if value is None else f"{value:,}"


def counted(value: int | None, noun: str) -> str:
    """Return a number of things with their noun, in the plural where it is not one."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def percent(ratio: float | None) -> str:
    """Return a share in per cent, rounded down: 100 % is all of it."""
    if ratio is None:
        return NOTHING
    return "100 %" if ratio >= 1 else f"{floor(ratio * 1000) / 10:.1f} %"


def duration(seconds: float | None) -> str:
    """Return a span of time in its largest unit that fits."""
    if seconds is None:
        return NOTHING
    unit, length = next((each for each in _UNITS if seconds >= each[1]), ("ms", 0.001))
    return f"{seconds / length:.1f} {unit}" if unit != "ms" else f"{seconds / length:.0f} ms"


def size(value: int | None) -> str:
    """Return a number of bytes in its largest unit that fits."""
    if value is None:
        return NOTHING
    if value < 1000:  # noqa: PLR2004 - below, there is no unit
        return f"{value} B"
    power = min((len(str(value)) - 1) // 3, 6)
    return f"{value / 1000**power:.1f} {'kMGTPE'[power - 1]}B"


def instant(at: datetime) -> str:
    """Return a time for people, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
