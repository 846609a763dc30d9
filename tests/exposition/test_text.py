"""The text format: numbers as in Go, and escaped labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from exporter.exposition.families.metric_types import Family
from exporter.exposition.text import MAX_LABEL_CHARACTERS, label_value, labels_text, number, sample_lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (True, "1"),
        (2323, "2323"),
        (999_999, "999999"),
        (1_000_000, "1e+06"),
        (10_000_000, "1e+07"),
        (123_456_789, "1.23456789e+08"),
        (1_734_421_457, "1.734421457e+09"),
        (0.5, "0.5"),
        (0.00001234, "1.234e-05"),
        (1234567.5, "1.2345675e+06"),
        (-3.25, "-3.25"),
        (2**63 - 1, "9.223372036854776e+18"),
    ],
)
def test_a_number_is_formatted_like_go(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(min_value=-(2**53), max_value=2**53))
def test_a_formatted_number_parses_to_the_same_value(value: float) -> None:
    assert float(number(value)) == value


@given(st.text(max_size=60))
def test_any_label_value_round_trips_on_one_line(text: str) -> None:
    """In both formats, with the parsers of the client library."""
    family: Family[None] = Family("mms_x", "help", lambda _: [((text,), 1)], ("name",))
    lines = sample_lines(family, 'account="a"', None)
    assert lines.count("\n") == 1
    openmetrics = openmetrics_families(f"{lines}# EOF\n")  # type: ignore[no-untyped-call]  # the library has no annotation
    for families in (text_families(lines), openmetrics):
        read = [sample for family in families for sample in family.samples]
        assert [(sample.labels["name"], sample.value) for sample in read] == [(text, 1)]


def test_a_long_label_value_is_truncated() -> None:
    assert label_value("x" * 10_000) == "x" * (MAX_LABEL_CHARACTERS - 1) + "…"
    assert label_value("x" * MAX_LABEL_CHARACTERS) == "x" * MAX_LABEL_CHARACTERS


def test_samples_with_equal_truncated_labels_are_written_once() -> None:
    family: Family[None] = Family(
        "mms_x", "help", lambda _: [(("x" * 600 + "1",), 1), (("x" * 600 + "2",), 1)], ("name",)
    )
    assert sample_lines(family, 'account="a"', None).count("\n") == 1


def test_quotes_backslashes_and_newlines_are_escaped() -> None:
    assert labels_text(["a", "b"], ['say "hi"\n', "C:\\n"]) == 'a="say \\"hi\\"\\n",b="C:\\\\n"'
