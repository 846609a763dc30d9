"""Texts and times as a report holds them: of bounded length, in one form. Pure."""

from datetime import UTC, datetime
from typing import Final

MAX_CHARACTERS: Final = 512
"""A longer text is cut here and ends in an ellipsis, as in the labels of series."""


def cut(text: str) -> str:
    """Return a text, cut where it is too long; what no UTF-8 can hold, as in the name of a file, by its number."""
    text = text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


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
