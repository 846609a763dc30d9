"""The API's times, which carry no zone, and those of HTTP, as Unix seconds. Pure."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

CACHED: Final = 1024
"""Of the times, many of which come back in every refresh, so many are remembered; more would fill up with what left."""


@lru_cache(maxsize=CACHED)
def unix_seconds(text: str | None, zone: ZoneInfo) -> float | None:
    """Return the time in `text`, taken to be in `zone` unless it carries one; None where it is no time.

    Source: the vendor's examples have `YYYY-MM-DD HH:MM:SS`. UNVERIFIED: the zone; any account's own clock settles it.
    A bare date is the beginning of its day.
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=1)
def http_date_seconds(text: str | None) -> float | None:
    """Return the time in a Date header, in whole seconds; None where it is none. Answers of one second say the same."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return None
