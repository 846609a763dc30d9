"""Texts and times of the report: truncated texts, RFC 3339 times. Pure."""

from bisect import bisect_right
from datetime import UTC, datetime
from typing import Final

import msgspec

MAX_BYTES: Final = 512
"""Maximum size of a text in JSON. A character takes 1 byte in English, 3 in Chinese and 6 if escaped."""


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


def upper_case(text: str | None) -> str | None:
    """Return an MMS status in upper case; None for None."""
    return None if text is None else truncated(text.upper())


def utc_time(at: float) -> datetime:
    """Convert a Unix time to UTC, in whole seconds."""
    return datetime.fromtimestamp(int(at), UTC)


def optional_time(at: float | None) -> datetime | None:
    """Convert a Unix time to UTC; None for None."""
    return None if at is None else utc_time(at)
