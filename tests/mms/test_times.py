"""Timestamps without offset and HTTP dates."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.mms.models.statuses import ScheduleType
from exporter.mms.models.times import eta_seconds, first_due_after, http_date_seconds, unix_seconds

SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("text", "zone", "seconds"),
    [
        ("2024-12-17 15:44:17", SHANGHAI, 1734421457),
        ("2024-12-17 15:44:17", ZoneInfo("UTC"), 1734450257),
        ("2024-12-17T15:44:17", SHANGHAI, 1734421457),
        ("2024-12-17 15:44:17.250", SHANGHAI, 1734421457.25),
        ("2024-12-17", SHANGHAI, 1734364800),
        ("2024-12-17 15:44:17+00:00", SHANGHAI, 1734450257),
        ("2024-12-17T15:44:17Z", SHANGHAI, 1734450257),
        ("1970-01-01 08:00:00", SHANGHAI, 0),
        ("2024-07-01 12:00:00", NEW_YORK, 1719849600),
        ("2024-12-01 12:00:00", NEW_YORK, 1733072400),
        ("2024-11-03 01:30:00", NEW_YORK, 1730611800),
        ("2024-03-10 02:30:00", NEW_YORK, 1710055800),
    ],
)
def test_a_timestamp_is_parsed_in_its_zone(text: str, zone: ZoneInfo, seconds: float) -> None:
    """A repeated hour means the first one; a skipped hour counts from the offset before it."""
    assert unix_seconds(text, zone) == seconds


@pytest.mark.parametrize(
    "text",
    [None, "", "soon", "2024-13-01 00:00:00", "2024-02-30", "24:00", "1734421457", "二〇二四"],
)
def test_an_invalid_timestamp_is_none(text: str | None) -> None:
    assert unix_seconds(text, SHANGHAI) is None


@settings(deadline=None, max_examples=300)
@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:\d\d|Z)?", fullmatch=True))
def test_arbitrary_text_is_parsed_or_none(text: str) -> None:
    seconds = unix_seconds(text, NEW_YORK)
    assert seconds is None or math.isfinite(seconds)


@settings(deadline=None, max_examples=200)
@given(st.datetimes(datetime(1992, 1, 1), datetime(2900, 1, 1)))  # noqa: DTZ001 - Shanghai has had one offset since 1992
def test_timestamps_of_the_api_round_trip(time: datetime) -> None:
    whole = time.replace(microsecond=0)
    expected = (whole - timedelta(hours=8)).replace(tzinfo=UTC).timestamp()
    assert unix_seconds(f"{whole:%Y-%m-%d %H:%M:%S}", SHANGHAI) == expected


@pytest.mark.parametrize(
    ("text", "zone", "seconds"),
    [
        ("2025-02-04", SHANGHAI, datetime(2025, 2, 4, 23, 59, 59, tzinfo=SHANGHAI)),
        ("2025-03-09", NEW_YORK, datetime(2025, 3, 9, 23, 59, 59, tzinfo=NEW_YORK)),
        ("9999-12-31", ZoneInfo("UTC"), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2025-02-04 00:00:00", SHANGHAI, datetime(2025, 2, 4, tzinfo=SHANGHAI)),
        ("2025-02-04T12:00:00Z", SHANGHAI, datetime(2025, 2, 4, 12, tzinfo=UTC)),
        *((text, SHANGHAI, None) for text in ("", "soon", "2025-02-30", "2025-02", None)),
    ],
)
def test_an_eta_without_time_is_the_end_of_its_day(text: str | None, zone: ZoneInfo, seconds: datetime | None) -> None:
    assert eta_seconds(text, zone) == (seconds and seconds.timestamp())


def test_an_http_date_is_parsed() -> None:
    assert http_date_seconds("Tue, 17 Dec 2024 15:44:17 GMT") == 1734450257


ODD_DATES = st.builds(
    "{} {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Tue,", "Foo,", "", ","]),
    *(st.sampled_from(["0", "1", "31", "99999", "-1", "17.5", "\u0663", "x", ""]),),
    st.sampled_from(["Dec", "Foo", "12", ""]),
    *(st.sampled_from(["0", "1", "24", "60", "2024", "99999", "-1", ".", ""]),) * 4,
    st.sampled_from(["GMT", "+9999", "-2400", "+99999999", "EST", "", "-"]),
)


@settings(deadline=None, max_examples=1000)
@given(st.text() | ODD_DATES)
def test_arbitrary_http_dates_are_parsed_or_none(text: str) -> None:
    seconds = http_date_seconds(text)
    assert seconds is None or math.isfinite(seconds)


def minute_by_minute(kind: ScheduleType, value: str, after: float, zone: ZoneInfo) -> float:
    """Return the first later minute at which the clock shows the schedule, as the ancestor of MMS compares them."""
    minute = (math.floor(after / 60) + 1) * 60
    while datetime.fromtimestamp(minute, zone).strftime("%H:%M" if kind is ScheduleType.DAILY else "%M") != value:
        minute += 60
    return float(minute)


@given(
    zone=st.sampled_from([SHANGHAI, NEW_YORK, ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata"), ZoneInfo("Asia/Kathmandu")]),
    after=st.integers(0, 3_000_000_000) | st.integers(1730500000, 1730700000) | st.integers(1709900000, 1710200000),
    value=st.one_of(st.integers(0, 59).map("{:02d}".format), st.times().map(lambda each: each.strftime("%H:%M"))),
)
@settings(max_examples=100, deadline=None)
def test_the_next_due_time_is_that_of_the_clock(zone: ZoneInfo, after: int, value: str) -> None:
    kind = ScheduleType.DAILY if ":" in value else ScheduleType.HOURLY
    assert first_due_after(kind, value, after, zone) == minute_by_minute(kind, value, after, zone)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ScheduleType.DAILY, "24:00"),
        (ScheduleType.DAILY, "30"),
        (ScheduleType.HOURLY, "60"),
        (ScheduleType.HOURLY, ""),
        (ScheduleType.HOURLY, None),
        (ScheduleType.HOURLY, "٣"),
        (ScheduleType("WEEKLY"), "02:00"),
        (None, "02:00"),
    ],
)
def test_an_unknown_schedule_is_never_due(kind: ScheduleType | None, value: str | None) -> None:
    assert first_due_after(kind, value, 0.0, SHANGHAI) is None


@pytest.mark.parametrize("after", [1e30, -1e30, math.inf, math.nan])
def test_no_schedule_is_due_beyond_the_calendar(after: float) -> None:
    assert first_due_after(ScheduleType.DAILY, "02:00", after, SHANGHAI) is None


def test_spellings_of_a_schedule() -> None:
    assert first_due_after(ScheduleType.HOURLY, "5", 0.0, SHANGHAI) == 300
    assert first_due_after(ScheduleType.HOURLY, "02:05", 0.0, SHANGHAI) == 300, "an hour has no meaning"
    assert first_due_after(ScheduleType.DAILY, "8:01", 0.0, SHANGHAI) == 60
