"""Encodes a report as JSON, CSV or a table; output for a terminal is escaped.

A table has colours and bars on a terminal, otherwise one plain line per row. Names are never interpreted as markup.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any, Final, Literal, NamedTuple, TypeVar

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exporter.console.output.command_report import LAST_RANK, RESOLVED, STOPPED, CommandReport, TableColumn, shortened
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
FOLDED_SENTENCE: Final = 20
"""Texts whose words stay whole are printed below their row, before they are folded to less than this width."""
CUT_TEXT: Final = 8
"""Columns are hidden before text is cut to less than this, or than its title, on a narrow terminal."""
_GAP: Final = "  "
_STYLES: Final = {
    **dict.fromkeys(("DONE", "STARTED", "online", "ok"), "green"),
    **dict.fromkeys(("PART_DONE", "STARTING", "STOPPING", "STOPPED"), "yellow"),
    **dict.fromkeys(("DOING",), "cyan"),
    **dict.fromkeys(("INIT", "table", "partition", "untested", "fact", ""), "default"),
}
"""Colours of statuses; any other (failed or new) is red."""


class _Filled(NamedTuple):
    """A column with its texts, one for each row."""

    column: TableColumn[Any]
    texts: Sequence[str]

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.column.title, *self.texts)))

    @property
    def longest_word(self) -> int:
        return max((cell_len(word) for text in self.texts for word in text.split()), default=0)

    def shortened(self) -> "_Filled":
        return self if self.column.never_shortened else _Filled(self.column, [*map(shortened, self.texts)])


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
    columns = [_Filled(column, [printable(column.text(row)) for row in report.rows]) for column in report.columns]
    if style.width is None:
        return _encoded("\n".join(_plain_lines(columns)) + "\n", style)
    return _on_terminal(report.rows, [each.shortened() for each in columns], style.width, style)


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


def _encoded(text: str, style: OutputStyle) -> bytes:
    return text.encode(style.encoding, "backslashreplace")


def _padded(text: str, width: int, *, to_right: bool = False) -> str:
    space = " " * (width - cell_len(text))
    return space + text if to_right else text + space


def _plain_lines(columns: Sequence[_Filled]) -> Iterator[str]:
    for cells in zip(*([each.column.title, *each.texts] for each in columns), strict=True):
        padded = (
            _padded(cell, each.width, to_right=each.column.format in {"number", "bar"})
            for each, cell in zip(columns, cells, strict=True)
        )
        yield _GAP.join(padded).rstrip()


def _on_terminal(rows: Sequence[Any], columns: Sequence[_Filled], width: int, style: OutputStyle) -> bytes:
    if _line_width(each.width for each in columns) > width:
        columns = [each for each in columns if any(each.texts)]  # an empty column takes no room that others need
    is_narrow = width <= NARROW_TERMINAL
    least = (_least(each, is_narrow=is_narrow, has_bar=False) for each in columns)
    below = [each for each in columns if each.column.never_shortened] if _line_width(least) > width else []
    columns = [each for each in columns if each not in below]
    is_narrow, has_bar = is_narrow or bool(below), not is_narrow  # a row with texts below it is one line
    if is_narrow:
        columns = _with_short_texts(rows, columns, _layout(columns, width, is_narrow=True, has_bar=has_bar))
    layout, compact = (_layout(columns, width, is_narrow=is_narrow, has_bar=each) for each in (has_bar, False))
    if len(compact) > len(layout):
        has_bar, layout = False, compact  # a column tells more than a bar
    grid = Table(box=None, padding=(0, len(_GAP), 0, 0), pad_edge=False, header_style="bold")
    for index, own in layout.items():
        _add_column(grid, columns[index].column, own, is_narrow=is_narrow, has_bar=has_bar)
    for number, row in enumerate(rows):
        shown = (columns[index] for index in layout)
        grid.add_row(*(cell for each in shown for cell in _cells(each.column, row, each.texts[number], has_bar)))
    if missing := [each.column.title for index, each in enumerate(columns) if index not in layout]:
        grid.caption = Text(f"hidden columns (terminal too narrow): {', '.join(missing)}")
        grid.caption_justify = "left"
    drawn = _drawn(grid, max(width, _line_width(layout.values())), style)
    return _with_texts_below(drawn, below, width, style) if below else drawn


def _with_texts_below(drawn: bytes, below: Sequence[_Filled], width: int, style: OutputStyle) -> bytes:
    """Return a table with texts below each of its rows, which are one line each."""
    title, *lines = drawn.decode(style.encoding).splitlines()
    for number, texts in reversed(list(enumerate(zip(*(each.texts for each in below), strict=True), start=1))):
        # A word that does not fit, such as a URL, is left to the terminal, so that it can be copied.
        wrapped = (wrap(text, width - len(_GAP), break_long_words=False, break_on_hyphens=False) for text in texts)
        lines[number:number] = [f"{_GAP}{line}" for each in wrapped for line in each]
    return _encoded("".join(f"{line}\n" for line in (title, *lines)), style)


def _with_short_texts(rows: Sequence[Any], columns: Sequence[_Filled], layout: Mapping[int, int]) -> list[_Filled]:
    """Return the columns with short texts where others would be cut."""
    shown = {columns[index].column.title for index in layout}
    cut = [columns[index] for index, own in layout.items() if own < columns[index].width]
    short = [each.column for each in cut if each.column.short is not None and each.column.short_in not in shown]
    has_short = {column.short_in for column in short}
    return [
        _Filled(each.column, [printable(each.column.short(row)) for row in rows])
        if each.column.short is not None and each.column in short
        else each
        for each in columns
        if each.column.title not in has_short
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


def _line_width(widths: Iterable[int]) -> int:
    return sum(width + len(_GAP) for width in widths) - len(_GAP)


def _least(each: _Filled, *, is_narrow: bool, has_bar: bool) -> int:
    """Return the minimum width of a column: a longer text is folded, or cut on a narrow terminal."""
    column = each.column
    if column.format == "bar":
        return BAR_WIDTH + len(_GAP) + PERCENT_WIDTH if has_bar else PERCENT_WIDTH
    if column.format == "status" and is_narrow:
        return min(each.width, NARROW_STATUS)
    if column.never_shortened:
        return min(each.width, max(FOLDED_SENTENCE, each.longest_word))
    least = max(CUT_TEXT, len(column.title)) if is_narrow else FOLDED_TEXT
    return min(each.width, least) if column.format == "text" else each.width


def _layout(columns: Sequence[_Filled], width: int, *, is_narrow: bool, has_bar: bool) -> dict[int, int]:
    """Return the width of each column that fits, by index; the highest rank is hidden first."""
    least = [_least(each, is_narrow=is_narrow, has_bar=has_bar) for each in columns]
    whole = [each.width if each.column.format == "status" else own for each, own in zip(columns, least, strict=True)]
    wanted = [max(own, min(each.width, each.column.kept_characters)) for each, own in zip(columns, whole, strict=True)]
    shown = list(range(len(columns)))
    for index in sorted(shown, key=lambda each: (columns[each].column.rank, each), reverse=True):
        rank = columns[index].column.rank
        needed = whole if rank == LAST_RANK else wanted
        if _line_width(needed[each] for each in shown) <= width or not rank:
            break
        shown.remove(index)
    layout = {index: least[index] for index in shown}
    statuses = [each for each in shown if columns[each].column.format == "status"]
    texts = [each for each in shown if columns[each].column.format == "text"]
    names = [each for each in texts if columns[each].column.kept_characters]
    for group in (statuses, names, [each for each in texts if each not in names]):
        spare = width - _line_width(layout.values())
        for index, given in _shares(
            max(0, spare), {each: columns[each].width - layout[each] for each in group}
        ).items():
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
