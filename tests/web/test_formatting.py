"""Numbers, durations, sizes and names as text of the page."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.status import formatting


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, "—"), (0.0, "0.0 %"), (0.5, "50.0 %"), (0.99999, "99.9 %"), (1.0, "100 %"), (0.0004, "0.0 %")],
)
def test_percent_is_rounded_down(ratio: float | None, text: str) -> None:
    assert formatting.percent(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "—"), (0.0042, "4 ms"), (1.25, "1.2 s"), (90, "1.5 min"), (7200, "2.0 h")]
)
def test_a_duration_is_shown_in_its_largest_unit(seconds: float | None, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "—"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (2**63, "9.2 EB")],
)
def test_a_size_is_shown_in_its_largest_unit(value: int | None, text: str) -> None:
    assert formatting.size(value) == text


def test_numbers_have_thousands_separators_and_a_noun_in_singular_or_plural() -> None:
    assert formatting.number(1234567) == "1,234,567"
    assert [formatting.with_noun(value, "table") for value in (1, 0, 1000)] == ["1 table", "0 tables", "1,000 tables"]


def test_a_time_has_its_zone() -> None:
    assert formatting.utc_text(datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2025-01-02 03:04:05 UTC"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("销售 orders", "销售 orders"),
        ("safe\u202egnp.exe", r"safe\u202egnp.exe"),
        ("two\nlines\tand\r", r"two\nlines\tand\r"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\U000e0041", r"\U000e0041"),
        (None, "—"),
        ("", "—"),
    ],
)
def test_control_and_direction_characters_are_escaped(text: str | None, shown: str) -> None:
    assert formatting.printable_text(text) == shown


@given(st.text())
def test_every_name_becomes_printable(text: str) -> None:
    assert formatting.printable_text(text).isprintable()
