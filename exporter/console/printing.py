"""A report as bytes: JSON and CSV for machines, a table or cards for people."""

import csv
import io
import json
from typing import Any, Final, TypeVar

from exporter.console.options import Output
from exporter.console.paper import Paper
from exporter.console.report import Report
from exporter.console.tables import cards, table

R = TypeVar("R")

_READ_AS_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a spreadsheet takes for the beginning of a formula, and the mark against that itself."""


def printed(report: Report[Any], output: Output, paper: Paper) -> bytes:
    """Return a report in the format that was asked for."""
    if output == "json":
        return as_json(report)
    if output == "csv":
        return as_csv(report)
    return table(report, paper) if report.card is None else cards(report, paper)


def as_json(report: Report[R]) -> bytes:
    """Return a JSON array with one object, and one line, for each row."""
    objects = ({each.name: each.value(row) for each in report.fields} for row in report.rows)
    lines = (f"\n  {json.dumps(each, ensure_ascii=False)}" for each in objects)
    return f"[{','.join(lines)}\n]\n".encode()


def as_csv(report: Report[R]) -> bytes:
    """Return CSV after RFC 4180 with a header.

    Names come from the warehouse, so that anybody who may create a table there could have a spreadsheet run a formula:
    a text that begins like one gets an apostrophe before it, and so does one that begins with an apostrophe. Who reads
    the file drops one leading apostrophe, and has the name.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([each.name for each in report.fields])
    writer.writerows([_cell(each.value(row)) for each in report.fields] for row in report.rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_READ_AS_FORMULA) else value
    return json.dumps(value, ensure_ascii=False)
