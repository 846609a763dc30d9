"""Parse timestamps of the API and of HTTP headers into Unix seconds. Pure."""

from datetime import date, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

CACHE_SIZE: Final = 1024
"""Cached timestamps. Most of them repeat in every refresh."""


@lru_cache(maxsize=CACHE_SIZE)
def unix_seconds(text: str | None, zone: ZoneInfo) -> float | None:
    """Parse an API timestamp; None if it is invalid.

    `zone` applies to a timestamp without offset; a date alone means midnight. Source: the vendor's examples have
    `YYYY-MM-DD HH:MM:SS`. UNVERIFIED: the zone; any live account settles it.
    """
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=CACHE_SIZE)
def eta_seconds(text: str | None, zone: ZoneInfo) -> float | None:
    """Parse the `eta` of a job; a date alone means its last second."""
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return unix_seconds(text, zone)
    return unix_seconds(f"{day}T23:59:59", zone)


@lru_cache(maxsize=1)  # responses within one second have the same header
def http_date_seconds(text: str | None) -> float | None:
    """Parse a Date header; None if it is invalid."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return None
