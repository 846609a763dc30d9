"""Parse timestamps of the API and of HTTP headers into Unix seconds, and find due times of schedules. Pure."""

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from exporter.mms.models.statuses import ScheduleType

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


_SCHEDULE: Final = re.compile(r"(?:([01]?[0-9]|2[0-3]):)?([0-5]?[0-9])", re.ASCII)
_MOST_DAYS: Final = 3
"""Within these, each schedule is due, also where a change of the clocks leaves out its time."""


def first_due_after(kind: ScheduleType | None, value: str | None, after: float, zone: ZoneInfo) -> float | None:
    """Return when a schedule is first due after a time, both in Unix seconds; None if it is not known.

    Source: vendor page CreateMmsTimer: Daily with `HH:MM`, Hourly with `MM`. UNVERIFIED: in which time zone.
    """
    match = _SCHEDULE.fullmatch(value or "")
    if match is None or (kind is ScheduleType.DAILY and match[1] is None):
        return None
    try:
        first = datetime.fromtimestamp(after, zone).replace(minute=int(match[2]), second=0, microsecond=0)
        if kind is ScheduleType.HOURLY:
            begin = first.astimezone(UTC)
            candidates = [(begin + timedelta(hours=hours)).astimezone(zone) for hours in range(-1, _MOST_DAYS)]
        elif kind is ScheduleType.DAILY:
            first = first.replace(hour=int(match[1]), fold=0)
            candidates = [first + timedelta(days=days) for days in range(_MOST_DAYS + 1)]
        else:
            return None
        return next((each.timestamp() for each in candidates if each.timestamp() > after and _exists(each)), None)
    except (ValueError, OverflowError, OSError):
        return None


def _exists(time: datetime) -> bool:
    """Return whether a local time is not left out by a change of the clocks."""
    back = time.astimezone(UTC).astimezone(time.tzinfo)
    return back.replace(tzinfo=None, fold=0) == time.replace(tzinfo=None, fold=0)


@lru_cache(maxsize=1)  # responses within one second have the same header
def http_date_seconds(text: str | None) -> float | None:
    """Parse a Date header; None if it is invalid."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return None
