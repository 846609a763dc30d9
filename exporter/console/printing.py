"""A report as bytes: JSON and CSV for machines, a table or cards for people; to a terminal, only what it shows."""

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
"""What a spreadsheet takes for the beginning of a formula, and the mark against that itself."""


def printed(report: CommandReport[Any], output: Output, paper: OutputStyle) -> bytes:
    """Return a report in the format that was asked for."""
    if output == "table":
        return table(report, paper) if report.card is None else cards(report, paper)
    if paper.width is not None:
        text = _json_on_screen(report) if output == "json" else _csv(report, on_screen=True)
        return text.encode(paper.encoding, "backslashreplace")
    return as_json(report) if output == "json" else as_csv(report)


def as_json(report: CommandReport[R]) -> bytes:
    """Return a JSON array with one object, and one line, for each row."""
    return _json(report, ensure_ascii=False).encode()


def _json_on_screen(report: CommandReport[R]) -> str:
    """Return the same JSON in ASCII that can be printed: a terminal would act on some of the characters in a name."""
    return _json(report, ensure_ascii=True).replace("\x7f", "\\u007f")


def _json(report: CommandReport[R], *, ensure_ascii: bool) -> str:
    objects = ({each.name: each.value(row) for each in report.fields} for row in report.rows)
    lines = (f"\n  {json.dumps(each, ensure_ascii=ensure_ascii)}" for each in objects)
    return f"[{','.join(lines)}\n]\n"


def as_csv(report: CommandReport[R]) -> bytes:
    """Return CSV after RFC 4180 with a header.

    Names come from the warehouse, so that anybody who may create a table there could have a spreadsheet run a formula:
    a text that begins like one gets an apostrophe before it, and so does one that begins with an apostrophe. Who reads
    the file drops one leading apostrophe, and has the name.
    """
    return _csv(report, on_screen=False).encode()


def _csv(report: CommandReport[R], *, on_screen: bool) -> str:
    """Return CSV; on a screen, what a terminal would act on stands in a name as an escape."""
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
