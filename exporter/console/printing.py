"""Encodes a report as JSON, CSV or a table; output for a terminal is escaped."""

import csv
import io
import json
from typing import Any, Final, TypeVar

from exporter.console.command_report import CommandReport
from exporter.console.options import Output
from exporter.console.output_style import OutputStyle
from exporter.console.tables import cards, table
from exporter.masking import printable

R = TypeVar("R")

_READ_AS_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""First characters of a formula in a spreadsheet, and the apostrophe that escapes them."""


def printed(report: CommandReport[Any], output: Output, style: OutputStyle) -> bytes:
    """Return a report in the selected format."""
    if output == "table":
        return table(report, style) if report.card is None else cards(report, style)
    if style.width is not None:
        text = _json_on_screen(report) if output == "json" else _csv(report, on_screen=True)
        return text.encode(style.encoding, "backslashreplace")
    return as_json(report) if output == "json" else as_csv(report)


def as_json(report: CommandReport[R]) -> bytes:
    """Return a JSON array with one object per line."""
    return _json(report, ensure_ascii=False).encode()


def _json_on_screen(report: CommandReport[R]) -> str:
    # ASCII only: a terminal would interpret control characters in a name.
    return _json(report, ensure_ascii=True).replace("\x7f", "\\u007f")


def _json(report: CommandReport[R], *, ensure_ascii: bool) -> str:
    objects = ({each.name: each.value(row) for each in report.fields} for row in report.rows)
    lines = (f"\n  {json.dumps(each, ensure_ascii=ensure_ascii)}" for each in objects)
    return f"[{','.join(lines)}\n]\n"


def as_csv(report: CommandReport[R]) -> bytes:
    """Return CSV according to RFC 4180 with a header.

    Names come from the warehouse, so they could inject formulas into a spreadsheet. A text that starts like a
    formula, or with an apostrophe, gets a leading apostrophe. Readers remove one leading apostrophe.
    """
    return _csv(report, on_screen=False).encode()


def _csv(report: CommandReport[R], *, on_screen: bool) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([each.name for each in report.fields])
    for row in report.rows:
        cells = (_cell(each.value(row)) for each in report.fields)
        writer.writerow(map(printable, cells) if on_screen else cells)
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_READ_AS_FORMULA) else value
    return json.dumps(value, ensure_ascii=False)
