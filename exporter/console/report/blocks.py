"""Blocks of a document, and their forms as Markdown and HTML. Every text is escaped.

Knows nothing of migrations. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from msgspec import Struct

from exporter.masking import printable


class Heading(Struct, frozen=True):
    """A heading; level 1 is the title, and level 2 starts a page."""

    level: int
    text: str


class Paragraph(Struct, frozen=True):
    """A paragraph; a note is less important."""

    text: str
    is_note: bool = False


class Items(Struct, frozen=True):
    """A list of texts."""

    texts: Sequence[str]


class Facts(Struct, frozen=True):
    """Labels and texts; an empty text is a line to write on."""

    pairs: Sequence[tuple[str, str]]


class Grid(Struct, frozen=True):
    """A table; the first column names the row."""

    caption: str
    titles: Sequence[str]
    """Starts with `#` for a column of numbers, and with `=` for short texts that are not broken into lines."""
    rows: Sequence[Sequence[str]]


Block = Heading | Paragraph | Items | Facts | Grid

_MARKDOWN: Final = re.compile(r"[\\`*\[\]<>|~&$@#]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What could be markup or a link, wherever in a line."""
_MARKS: Final = {"#": ' class="n"', "=": ' class="s"'}
"""First characters of column titles, and their attributes."""
_LINE: Final = "." * 40
"""A line to write on, where there is no style for one."""
_STYLE: Final = """
@page { size: A4; margin: 16mm 14mm; }
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1.5rem; max-width: 60rem; background: #fff; color: #1b2330;
  font: 10pt/1.45 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 1.7em; margin: 0 0 0.5em; }
h2 { font-size: 1.35em; margin: 2.5em 0 0.5em; padding-bottom: 0.2em; border-bottom: 2px solid #1b2330; }
h3 { font-size: 1.1em; margin: 1.6em 0 0.3em; }
p, ul, dl { margin: 0.3em 0 0.6em; }
.note { color: #566073; font-size: 0.9em; }
dl div { display: flex; gap: 1em; }
dt { flex: 0 0 15em; color: #566073; }
dd { flex: 1; margin: 0; }
dd:empty { max-width: 20em; height: 2em; border-bottom: 1px solid #1b2330; }
table { width: 100%; margin: 0.6em 0 1em; border-collapse: collapse; font-size: 0.9em; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.2em; }
th, td { padding: 0.25em 0.5em; border-bottom: 1px solid #c9d0da; text-align: left; vertical-align: top; }
thead th { border-bottom-color: #1b2330; }
tbody th { font-weight: 400; }
.n { text-align: right; }
.n, .s { white-space: nowrap; }
thead th { overflow-wrap: normal; }
@media (max-width: 40rem) { main { overflow-x: auto; } dl div { display: block; } }
@media print {
  body { padding: 0; max-width: none; }
  h2:not(h1 ~ h2:first-of-type) { break-before: page; margin-top: 0; }
  h1, h2, h3, caption, thead, .note { break-after: avoid; }
  tbody tr:first-child, tbody tr:last-child { break-before: avoid; }
  tr, li, dl div { break-inside: avoid; }
  thead { display: table-header-group; }
}
"""
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main tabindex="0">
{body}
</main>
</body>
</html>
"""


def markdown(blocks: Iterable[Block]) -> str:
    """Return a document in Markdown with tables (GFM)."""
    return "\n".join("".join(f"{line}\n" for line in _markdown_lines(block)) for block in blocks)


def _markdown_text(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", printable(text))


def _markdown_lines(block: Block) -> Iterator[str]:
    match block:
        case Heading(level, text):
            yield f"{'#' * level} {_markdown_text(text)}"
        case Paragraph(text, is_note):
            yield f"*{_markdown_text(text)}*" if is_note else _markdown_text(text)
        case Items(texts):
            yield from (f"- {_markdown_text(text)}" for text in texts)
        case Facts(pairs):
            yield from (f"- **{_markdown_text(label)}:** {_markdown_text(text or _LINE)}" for label, text in pairs)
        case Grid(caption, titles, rows):
            yield f"**{_markdown_text(caption)}**"
            yield ""
            yield f"| {' | '.join(_markdown_text(title.lstrip('#=')) for title in titles)} |"
            yield f"|{'|'.join('---:' if title.startswith('#') else '---' for title in titles)}|"
            yield from (f"| {' | '.join(map(_markdown_text, row))} |" for row in rows)


def html(title: str, blocks: Iterable[Block]) -> str:
    """Return a document in HTML without scripts and other files."""
    body = "\n".join(line for block in blocks for line in _html_lines(block))
    return _PAGE.format(title=_html_text(title), style=_STYLE, body=body)


def _html_text(text: str) -> str:
    return escape(printable(text))


def _html_lines(block: Block) -> Iterator[str]:
    match block:
        case Heading(level, text):
            yield f"<h{level}>{_html_text(text)}</h{level}>"
        case Paragraph(text, is_note):
            yield f'<p class="note">{_html_text(text)}</p>' if is_note else f"<p>{_html_text(text)}</p>"
        case Items(texts):
            yield f"<ul>{''.join(f'<li>{_html_text(text)}</li>' for text in texts)}</ul>"
        case Facts(pairs):
            rows = (f"<div><dt>{_html_text(label)}</dt><dd>{_html_text(text)}</dd></div>" for label, text in pairs)
            yield f"<dl>{''.join(rows)}</dl>"
        case Grid(caption, titles, rows):
            kinds = [_MARKS.get(title[0], "") for title in titles]
            heads = (
                f'<th scope="col"{kind}>{_html_text(title.lstrip("#="))}</th>'
                for kind, title in zip(kinds, titles, strict=True)
            )
            yield f"<table><caption>{_html_text(caption)}</caption><thead><tr>{''.join(heads)}</tr></thead><tbody>"
            for row in rows:
                first, *others = (f"{kind}>{_html_text(cell)}" for kind, cell in zip(kinds, row, strict=True))
                yield f'<tr><th scope="row"{first}</th>{"".join(f"<td{each}</td>" for each in others)}</tr>'
            yield "</tbody></table>"
