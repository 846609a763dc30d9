"""Texts and times as a report holds them: of bounded length, in one form. Pure."""

from bisect import bisect_right
from datetime import UTC, datetime
from typing import Final

import msgspec

MAX_BYTES: Final = 512
"""Of a text in JSON. A character takes one byte in English, three in Chinese, and six where it is escaped."""


def cut(text: str) -> str:
    """Return a text; one of more than MAX_BYTES is cut there and ends in an ellipsis."""
    text = text[: MAX_BYTES + 1].encode("utf-8", "backslashreplace").decode()
    if _size(text) <= MAX_BYTES:
        return text
    length = bisect_right(range(len(text)), MAX_BYTES, key=lambda length: _size(text[:length])) - 1
    return f"{text[:length]}…"


def _size(text: str) -> int:
    return len(msgspec.json.encode(text)) - len('""')


def optional_text(text: str | None) -> str | None:
    """Return a text, cut where it is too long; None for None."""
    return None if text is None else cut(text)


def word(text: str | None) -> str | None:
    """Return a word of MMS, such as a status, in upper case; None for None."""
    return None if text is None else cut(text.upper())


def time(at: float) -> datetime:
    """Return the time of so many Unix seconds, in whole ones."""
    return datetime.fromtimestamp(int(at), UTC)


def optional_time(at: float | None) -> datetime | None:
    """Return the time of so many Unix seconds; None for None."""
    return None if at is None else time(at)
