"""Encodes a report as JSON, CSV or a table; output for a terminal is escaped.

A table has colours and bars on a terminal, otherwise one plain line per row. Names are never interpreted as markup.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeVar

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exporter.console.command_report import STOPPED, CommandReport, TableColumn, shortened
from exporter.console.terminal import OutputStyle
from exporter.masking import printable

R = TypeVar("R")
Output = Literal["table", "json", "csv"]

_READ_AS_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""First characters of a formula in a spreadsheet, and the apostrophe that escapes them."""
BAR_WIDTH: Final = 10
PERCENT_WIDTH: Final = 4
NARROW_TEXT: Final = 24
"""Columns are hidden before text is folded to less than this width."""
NARROWEST_TEXT: Final = 8
"""Smallest width of folded text; below it the terminal breaks lines."""
_GAP: Final = "  "
_STYLES: Final = {
    **dict.fromkeys(("DONE", "STARTED", "online", "ok"), "green"),
    **dict.fromkeys(("PART_DONE", "STARTING", "STOPPING", "STOPPED"), "yellow"),
    **dict.fromkeys(("DOING",), "cyan"),
    **dict.fromkeys(("INIT", "table", "partition", "untested", ""), "default"),
}
"""Colours of statuses; any other (failed or new) is red."""

Texts = Sequence[Sequence[str]]
"""The cells of each row."""


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


def table(report: CommandReport[Any], style: OutputStyle) -> bytes:
    """Return the rows as a table; empty without rows."""
    if not report.rows:
        return b""
    texts = [[printable(column.text(row)) for column in report.columns] for row in report.rows]
    if style.width is None:
        return _encoded("\n".join(_plain_lines(report.columns, texts)) + "\n", style)
    columns = report.columns
    texts = [[_for_cell(column, text) for column, text in zip(columns, row, strict=True)] for row in texts]
    return _on_terminal(report, texts, style.width, style)


def cards(report: CommandReport[Any], style: OutputStyle) -> bytes:
    """Return each row as lines of label and text."""
    if report.card is None:
        raise ValueError("a report without cards")
    blocks = []
    for row in report.rows:
        lines = [(printable(label), printable(text)) for label, text in report.card(row)]
        width = max(cell_len(label) for label, _ in lines)
        blocks.append("".join(f"{_padded(label, width)}{_GAP}{text}\n" for label, text in lines))
    return _encoded("\n".join(blocks), style)


def _for_cell(column: TableColumn[Any], text: str) -> str:
    return text if column.never_shortened else shortened(text)


def _encoded(text: str, style: OutputStyle) -> bytes:
    return text.encode(style.encoding, "backslashreplace")


def _padded(text: str, width: int, *, to_right: bool = False) -> str:
    space = " " * (width - cell_len(text))
    return space + text if to_right else text + space


def _widths(columns: Sequence[TableColumn[Any]], texts: Texts) -> list[int]:
    titles = [column.title for column in columns]
    return [max(map(cell_len, cells)) for cells in zip(titles, *texts, strict=True)]


def _plain_lines(columns: Sequence[TableColumn[Any]], texts: Texts) -> Iterator[str]:
    widths = _widths(columns, texts)
    for cells in ([column.title for column in columns], *texts):
        padded = (
            _padded(cell, width, to_right=column.format in {"number", "bar"})
            for column, width, cell in zip(columns, widths, cells, strict=True)
        )
        yield _GAP.join(padded).rstrip()


def _on_terminal(report: CommandReport[Any], texts: Texts, width: int, style: OutputStyle) -> bytes:
    widths = _widths(report.columns, texts)
    shown = _fitting(report.columns, widths, width)
    grid = Table(box=None, padding=(0, len(_GAP), 0, 0), pad_edge=False, header_style="bold")
    for index in shown:
        _add_column(grid, report.columns[index], widths[index])
    for row, cells in zip(report.rows, texts, strict=True):
        grid.add_row(*(each for index in shown for each in _cells(report.columns[index], row, cells[index])))
    if len(shown) < len(report.columns):
        missing = ", ".join(column.title for index, column in enumerate(report.columns) if index not in shown)
        grid.caption = Text(f"hidden columns (terminal too narrow): {missing}")
        grid.caption_justify = "left"
    needed = sum(_least(report.columns[index], widths[index], NARROWEST_TEXT) for index in shown)
    return _drawn(grid, max(width, needed), style)


def _drawn(grid: Table, width: int, style: OutputStyle) -> bytes:
    target = io.BytesIO()
    file = io.TextIOWrapper(target, encoding=style.encoding, errors="backslashreplace", newline="\n")
    console = Console(
        file=file,
        width=width,
        force_terminal=True,
        color_system="standard" if style.has_color else None,
        no_color=not style.has_color,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    console.print(grid)
    file.flush()
    return target.getvalue()


def _least(column: TableColumn[Any], width: int, text_width: int) -> int:
    """Return the minimum width of a column; text may fold to `text_width`."""
    if column.format == "bar":
        return BAR_WIDTH + PERCENT_WIDTH + 2 * len(_GAP)
    return (min(width, text_width) if column.format == "text" else width) + len(_GAP)


def _fitting(columns: Sequence[TableColumn[Any]], widths: Sequence[int], width: int) -> list[int]:
    """Return the columns that fit; the highest rank is hidden first."""
    shown = list(range(len(columns)))
    for index in sorted(shown, key=lambda each: (columns[each].rank, each), reverse=True):
        is_enough = sum(_least(columns[each], widths[each], NARROW_TEXT) for each in shown) <= width
        if is_enough or not columns[index].rank:
            break
        shown.remove(index)
    return shown


def _add_column(grid: Table, column: TableColumn[Any], width: int) -> None:
    if column.format == "text":
        grid.add_column(column.title, overflow="fold", min_width=min(width, NARROWEST_TEXT))
    elif column.format == "bar":
        grid.add_column(column.title, width=BAR_WIDTH)
        grid.add_column("", justify="right", no_wrap=True, min_width=PERCENT_WIDTH)
    else:
        is_number = column.format == "number"
        grid.add_column(column.title, justify="right" if is_number else "left", no_wrap=True, min_width=width)


def _cells(column: TableColumn[Any], row: Any, text: str) -> Iterator[RenderableType]:  # noqa: ANN401 - any report's row
    if column.format == "bar" and column.ratio is not None:
        ratio = column.ratio(row)
        yield "" if ratio is None else ProgressBar(1, ratio, BAR_WIDTH, complete_style="green", finished_style="green")
    yield Text(text, style=_style(text) if column.format == "status" else "")


def _style(status: str) -> str:
    return "yellow" if status.endswith(STOPPED) else _STYLES.get(status, "red")
