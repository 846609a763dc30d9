"""Encodes a report as JSON, CSV or a table; output for a terminal is escaped.

A table has colours and bars on a terminal, otherwise one plain line per row. Names are never interpreted as markup.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exporter.console.output.command_report import RESOLVED, STOPPED, CommandReport, TableColumn, shortened
from exporter.console.output.terminal import OutputStyle
from exporter.masking import printable

R = TypeVar("R")
Output = Literal["table", "json", "csv", "md", "html"]

_READ_AS_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""First characters of a formula in a spreadsheet, and the apostrophe that escapes them."""
BAR_WIDTH: Final = 10
PERCENT_WIDTH: Final = 4
NARROW_TERMINAL: Final = 80
"""Up to this width, long texts are cut, and progress has no bar."""
NARROW_STATUS: Final = 10
FOLDED_TEXT: Final = 28
"""Columns are hidden before text is folded to less than this width."""
CUT_TEXT: Final = 8
"""Likewise, before text is cut to less than this, or than its title, on a narrow terminal."""
_GAP: Final = "  "
_STYLES: Final = {
    **dict.fromkeys(("DONE", "STARTED", "online", "ok"), "green"),
    **dict.fromkeys(("PART_DONE", "STARTING", "STOPPING", "STOPPED"), "yellow"),
    **dict.fromkeys(("DOING",), "cyan"),
    **dict.fromkeys(("INIT", "table", "partition", "untested", "fact", ""), "default"),
}
"""Colours of statuses; any other (failed or new) is red."""

Texts = Sequence[Sequence[str]]
"""The cells of each row."""


def printed(report: CommandReport[Any], output: Output, style: OutputStyle) -> bytes:
    """Return a report in the selected format."""
    if report.document is not None and output != "csv":
        return report.document(output, style)
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
    is_narrow, columns = width <= NARROW_TERMINAL, report.columns
    has_bar = not is_narrow
    if is_narrow:
        texts = _with_short_texts(report, texts, _layout(columns, texts, width, is_narrow=is_narrow, has_bar=has_bar))
    layout, compact = (_layout(columns, texts, width, is_narrow=is_narrow, has_bar=each) for each in (has_bar, False))
    if len(compact) > len(layout):
        has_bar, layout = False, compact  # a column tells more than a bar
    grid = Table(box=None, padding=(0, len(_GAP), 0, 0), pad_edge=False, header_style="bold")
    for index, own in layout.items():
        _add_column(grid, columns[index], own, is_narrow=is_narrow, has_bar=has_bar)
    for row, cells in zip(report.rows, texts, strict=True):
        grid.add_row(*(each for index in layout for each in _cells(columns[index], row, cells[index], has_bar)))
    if len(layout) < len(columns):
        missing = ", ".join(column.title for index, column in enumerate(columns) if index not in layout)
        grid.caption = Text(f"hidden columns (terminal too narrow): {missing}")
        grid.caption_justify = "left"
    return _drawn(grid, max(width, sum(layout.values()) + len(_GAP) * (len(layout) - 1)), style)


def _with_short_texts(report: CommandReport[Any], texts: Texts, layout: Mapping[int, int]) -> Texts:
    """Return the texts with the short ones of each column that would be cut."""
    widths = _widths(report.columns, texts)
    short = {index: report.columns[index].short for index, own in layout.items() if own < widths[index]}
    return [
        [text if (shorten := short.get(index)) is None else shorten(row) for index, text in enumerate(cells)]
        for row, cells in zip(report.rows, texts, strict=True)
    ]


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


def _least(column: TableColumn[Any], width: int, *, is_narrow: bool, has_bar: bool) -> int:
    """Return the minimum width of a column: a longer text is folded, or cut on a narrow terminal."""
    if column.format == "bar":
        return BAR_WIDTH + len(_GAP) + PERCENT_WIDTH if has_bar else PERCENT_WIDTH
    if column.format == "status" and is_narrow:
        return min(width, NARROW_STATUS)
    least = max(CUT_TEXT, len(column.title)) if is_narrow else FOLDED_TEXT
    return min(width, least) if column.format == "text" else width


def _layout(
    columns: Sequence[TableColumn[Any]], texts: Texts, width: int, *, is_narrow: bool, has_bar: bool
) -> dict[int, int]:
    """Return the width of each column that fits, by index; the highest rank is hidden first."""
    widths = _widths(columns, texts)
    least = [
        _least(column, own, is_narrow=is_narrow, has_bar=has_bar) for column, own in zip(columns, widths, strict=True)
    ]
    wanted = [
        own if column.format == "status" else max(each, min(own, column.kept_characters))
        for column, own, each in zip(columns, widths, least, strict=True)
    ]
    shown = list(range(len(columns)))
    for index in sorted(shown, key=lambda each: (columns[each].rank, each), reverse=True):
        if sum(wanted[each] + len(_GAP) for each in shown) - len(_GAP) <= width or not columns[index].rank:
            break
        shown.remove(index)
    layout = {index: least[index] for index in shown}
    statuses = [each for each in shown if columns[each].format == "status"]
    texts_shown = [each for each in shown if columns[each].format == "text"]
    names = [each for each in texts_shown if columns[each].kept_characters]
    for group in (statuses, names, [each for each in texts_shown if each not in names]):
        spare = width - sum(layout.values()) - len(_GAP) * (len(layout) - 1)
        for index, given in _shares(max(0, spare), {each: widths[each] - layout[each] for each in group}).items():
            layout[index] += given
    return layout


def _shares(spare: int, missing: Mapping[int, int]) -> dict[int, int]:
    """Return how many columns each text gets of those that are left."""
    given: dict[int, int] = {}
    # Those that need the least come first, so that what they leave is for the others.
    for rest, index in zip(range(len(missing), 0, -1), sorted(missing, key=lambda each: missing[each]), strict=True):
        given[index] = min(missing[index], spare // rest)
        spare -= given[index]
    return given


def _add_column(grid: Table, column: TableColumn[Any], width: int, *, is_narrow: bool, has_bar: bool) -> None:
    if column.format == "bar":
        if has_bar:
            grid.add_column(column.title, width=BAR_WIDTH)
        grid.add_column("" if has_bar else column.title[:PERCENT_WIDTH], justify="right", width=PERCENT_WIDTH)
    elif column.format == "text" and (column.never_shortened or not is_narrow):
        grid.add_column(Text(column.title, no_wrap=True, overflow="ellipsis"), width=width, overflow="fold")
    else:
        justify: Literal["right", "left"] = "right" if column.format == "number" else "left"
        grid.add_column(column.title, width=width, justify=justify, no_wrap=True, overflow="ellipsis")


def _cells(column: TableColumn[Any], row: Any, text: str, has_bar: bool) -> Iterator[RenderableType]:  # noqa: ANN401, FBT001 - any report's row
    if column.format == "bar" and column.ratio is not None and has_bar:
        ratio = column.ratio(row)
        yield "" if ratio is None else ProgressBar(1, ratio, BAR_WIDTH, complete_style="green", finished_style="green")
    yield Text(text, style=_style(text) if column.format == "status" else "")


def _style(status: str) -> str:
    return "yellow" if status.endswith((STOPPED, RESOLVED)) else _STYLES.get(status, "red")
