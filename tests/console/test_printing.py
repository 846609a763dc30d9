"""Output is exact for machines, and escaped and readable for people."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from exporter.config.loading import DEFAULT_ZONE, Account
from exporter.console.output.command_report import (
    CommandReport,
    Field,
    TableColumn,
    age,
    json_value,
    percent,
    shortened,
    sum_of_known,
)
from exporter.console.output.printing import Output, as_csv, printed
from exporter.console.output.terminal import OutputStyle
from tests.console.conftest import Shown

HOSTILE = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "line": "a\nb\r\nc",
    "tab": "a\tb",
    "bidi": "abc\u202egpj.exe",
    "isolate": "a\u2066b",
    "c1": "\x9b31m",
    "separator": "a\u2028b",
    "markup": "[bold red]a[/] :smile: [link=https://example.com]b[/link]",
    "long": "x" * 10_000,
    "wide": "表" * 30,
    "quotes": '"a","b"',
}


def report_of(*names: str, width_of_bar: float = 0.5) -> CommandReport[Any]:
    """Return a report with one numbered row per name."""
    return CommandReport(
        fields=(
            Field("id", "", lambda row: row[0]),
            Field("name", "", lambda row: row[1]),
            Field("is_odd", "", lambda row: row[0] % 2 == 1),
            Field("lacking", "", lambda _: None),
        ),
        columns=(
            TableColumn("ID", lambda row: str(row[0]), "number"),
            TableColumn("NAME", lambda row: row[1]),
            TableColumn("STATUS", lambda _: "FAILED", "status"),
            TableColumn("PROGRESS", lambda _: percent(width_of_bar), "bar", lambda _: width_of_bar),
            TableColumn("MORE", lambda _: "more " * 4, "number", rank=1),
        ),
        rows=[(1_000_000 + number, name) for number, name in enumerate(names)],
        empty_text="none",
    )


def is_harmless(text: str) -> bool:
    """Return whether a terminal prints the text without interpreting it."""
    return all(char == "\n" or unicodedata.category(char)[0] not in "CZ" or char == " " for char in text)


@pytest.mark.parametrize("width", [None, 100])
@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_no_name_reaches_a_terminal_raw(name: str, width: int | None) -> None:
    assert is_harmless(Shown(report_of(name)).table(width))


@pytest.mark.parametrize("output", ["json", "csv"])
@pytest.mark.parametrize("name", [*HOSTILE.values(), "\x7f\x9b\u2028"], ids=[*HOSTILE, "rest"])
def test_json_and_csv_are_escaped_on_a_terminal(name: str, output: Output) -> None:
    text = printed(report_of(name), output, OutputStyle(80)).decode()
    assert is_harmless(text.replace("\r\n", "\n"))


def test_json_on_a_terminal_has_the_same_values() -> None:
    names = [*HOSTILE.values(), "\x7f"]
    assert [row["name"] for row in json.loads(printed(report_of(*names), "json", OutputStyle(80)))] == names


@given(st.lists(st.text()))
def test_without_a_terminal_a_row_is_a_line(names: list[str]) -> None:
    lines = printed(report_of(*names), "table", OutputStyle()).decode().split("\n")
    assert len(lines) == (len(names) + 2 if names else 1)


def test_without_a_terminal_nothing_is_shortened() -> None:
    assert "x" * 10_000 in Shown(report_of("x" * 10_000)).table()


def test_a_terminal_shortens_names_but_not_advice() -> None:
    text = "x" * 500
    columns = (TableColumn("NAME", str), TableColumn("ADVICE", str, never_shortened=True))
    report: CommandReport[Any] = CommandReport(fields=(), columns=columns, rows=[text], empty_text="")
    table = Shown(report).table(2000)
    assert sorted(map(len, table.splitlines()[1].split())) == [120, 500]


def test_markup_stays_text() -> None:
    assert HOSTILE["markup"] in Shown(report_of(HOSTILE["markup"])).table()
    assert HOSTILE["markup"].split()[0] in Shown(report_of(HOSTILE["markup"])).table(120)


@given(st.lists(st.text()))
def test_json_keeps_every_name(names: list[str]) -> None:
    assert [row["name"] for row in Shown(report_of(*names)).rows] == names


def test_json_has_booleans_and_null() -> None:
    assert Shown(report_of("a")).rows == [{"id": 1_000_000, "name": "a", "is_odd": False, "lacking": None}]


def test_json_has_a_line_for_each_row() -> None:
    assert printed(report_of("a\nb", "c"), "json", OutputStyle()).count(b"\n") == 4


@given(st.lists(st.text()))
def test_csv_keeps_every_name_after_one_apostrophe(names: list[str]) -> None:
    cells = [row["name"] for row in Shown(report_of(*names)).csv]
    assert [cell.removeprefix("'") for cell in cells] == names


@given(st.sampled_from(["=", "+", "-", "@", "\t", "\r"]), st.text())
def test_no_cell_of_csv_is_a_formula(mark: str, rest: str) -> None:
    (row,) = Shown(report_of(mark + rest)).csv
    assert row["name"] == f"'{mark}{rest}"


def test_csv_follows_rfc_4180() -> None:
    assert as_csv(report_of('a "b", c')) == (b'id,name,is_odd,lacking\r\n1000000,"a ""b"", c",false,\r\n')


def test_an_empty_result_is_a_csv_header_and_an_empty_json_array() -> None:
    assert as_csv(report_of()) == b"id,name,is_odd,lacking\r\n"
    assert Shown(report_of()).rows == []


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
def test_an_id_is_never_shortened(width: int) -> None:
    assert "1000000" in Shown(report_of("a name that is long enough to be folded")).table(width)


@pytest.mark.parametrize("width", [*range(40, 81), 100, 200])
@pytest.mark.parametrize("name", ["a name that is long enough to be folded " * 2, "表" * 60, "x" * 300])
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    lines = Shown(report_of(name)).table(width).splitlines()
    assert max(map(cell_len, lines)) <= width


def test_a_long_name_is_cut_on_a_narrow_terminal() -> None:
    lines = Shown(report_of("a-name-of-many-letters", "short")).table(40).splitlines()
    assert lines[:3] == [
        "     ID  NAME               STATUS  PROG",
        "1000000  a-name-of-many-l…  FAILED   50%",
        "1000001  short              FAILED   50%",
    ]


def test_hidden_columns_are_listed() -> None:
    assert "hidden columns (terminal too narrow): MORE" in Shown(report_of("a" * 30)).table(50)
    assert "too narrow" not in Shown(report_of("a" * 30)).table(120)


def test_a_folded_name_is_complete() -> None:
    name = "".join(chr(97 + number % 26) for number in range(100))
    lines = Shown(report_of(name)).table(90).splitlines()[1:]
    assert "".join(line[9:].split()[0] for line in lines if "hidden columns" not in line) == name


def test_colour_can_be_disabled() -> None:
    assert "\x1b[31mFAILED" in Shown(report_of("a")).table(100, has_color=True)
    assert "\x1b" not in Shown(report_of("a")).table(100)


def test_a_bar_has_the_length_of_its_ratio() -> None:
    assert "━" * 5 + " " in Shown(report_of("a")).table(100)
    assert "━" * 10 in Shown(report_of("a", width_of_bar=1.0)).table(100)
    assert "━" not in Shown(report_of("a", width_of_bar=0.0)).table(100)


@pytest.mark.parametrize("width", [None, 100])
def test_a_terminal_without_unicode_gets_escapes(width: int | None) -> None:
    assert printed(report_of("表"), "table", OutputStyle(width, encoding="ascii")).isascii()


@pytest.mark.parametrize("output", ["json", "csv"])
def test_json_and_csv_use_the_encoding_of_the_terminal(output: Output) -> None:
    assert printed(report_of("表"), output, OutputStyle(100, encoding="ascii")).isascii()


@pytest.mark.parametrize(("ratio", "text"), [(0.0, "0%"), (0.001, "1%"), (0.999, "99%"), (1.0, "100%"), (None, "")])
def test_only_exact_ratios_are_0_or_100_percent(ratio: float | None, text: str) -> None:
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s ago"), (119, "119s ago"), (120, "2m ago"), (7200, "2h ago"), (86400 * 3, "3d ago"), (-7300, "in 2h")],
)
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    assert age("1970-01-01 08:00:00", DEFAULT_ZONE, seconds) == text


def test_an_invalid_time_is_printed_unchanged() -> None:
    assert age("soon", DEFAULT_ZONE, 0) == "soon"


def test_an_eta_without_time_is_late_from_the_next_day() -> None:
    account = Account(name="a", region="cn-shanghai")
    assert json_value("eta", "2025-02-04", account) == "2025-02-04T23:59:59+08:00"
    assert json_value("create_time", "2025-02-04", account) == "2025-02-04T00:00:00+08:00"


def test_a_text_of_any_length_fits_a_cell() -> None:
    assert len(shortened("x" * 1000)) == 120


def test_a_status_is_cut_after_other_texts() -> None:
    columns: tuple[TableColumn[Any], ...] = (
        TableColumn("JOB", lambda _: "a" * 40),
        TableColumn("STATUS", lambda _: "FAILED (resolved)", "status"),
    )
    report: CommandReport[Any] = CommandReport(fields=(), columns=columns, rows=[1], empty_text="")
    assert "FAILED (resolved)" in Shown(report).table(40)


@pytest.mark.parametrize(
    ("counts", "text"),
    [((0, 0), "0"), ((0, None), ""), ((None, 0), ""), ((None, None), ""), ((1000, None), "1,000"), ((1, 2), "3")],
)
def test_a_sum_is_no_0_if_a_part_is_unknown(counts: tuple[int | None, ...], text: str) -> None:
    assert sum_of_known(*counts) == text
