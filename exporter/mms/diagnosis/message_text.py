"""Choose, shorten and group the messages of task logs. Pure.

Secrets are masked before anything is cut: half a secret is not recognised.
"""

import re
from collections.abc import Iterable
from typing import Final

from exporter.masking import masked
from exporter.mms.models.task_records import TaskLog

MAX_HEAD: Final = 6_000
MAX_TAIL: Final = 2_000
MAX_SHOWN: Final = 2_000
MAX_EXAMPLE: Final = 300
MAX_PATTERN: Final = 160
_CAUSE: Final = "Caused by: "
_FRAME: Final = re.compile(r"(?:^| )(?:at [\w$.<>/]{1,300}+\([^()]{0,120}\)|\.\.\. \d{1,9} more)(?= |$)")
"""A line of a Java stack trace, in text of one line."""
_PACKAGES: Final = r"(?:com|org|net|io|java|javax|sun)\."
_BLANKS: Final = (
    (re.compile(r"[a-z][a-z0-9+]{1,20}://[^\s,;\"')]{1,500}"), "<url>"),
    # Quoted text of at most two words; not a key of JSON.
    (re.compile(r"([\"'`])(?<!\w.)[^\"'`\s]{1,200}(?: [^\"'`\s]{1,60})?\1(?!:)|\{acs:[^}]{0,300}\}"), "<name>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?"), "<address>"),
    (re.compile(r"(?<![\w.])(?:/[\w.=%-]{1,100}){2,20}"), "<path>"),
    (re.compile(r"(?<![\w.])(?=[A-Za-z_]{0,60}[.\d-])[\w-]{1,100}(?:\.[\w-]{1,100}){0,8}:\d{2,5}\b"), "<address>"),
    (re.compile(r"\b([a-z_]\w{0,60})=[^\s,;/&<)}\]]{1,100}"), r"\1=<value>"),
    (re.compile(rf"(?<![\w.$])(?!{_PACKAGES})[a-z_]\w{{0,100}}(?:\.[a-z_]\w{{0,100}}){{1,3}}(?![\w.(])"), "<name>"),
    (
        re.compile(
            r"(?<![\w-])(?!ODPS-)(?=[\w-]{6,64}(?![\w-]))(?=[\d_-]{0,64}[A-Za-z])(?=(?:[A-Za-z_-]{0,20}\d){3})[\w-]{6,64}"
        ),
        "<id>",
    ),
    (re.compile(r"(?<![\w-])\d(?:[\d,.:-]*\d)?"), "<n>"),
)
"""What differs between messages of one cause, in the order in which it is replaced."""


def decisive_row(logs: Iterable[TaskLog]) -> TaskLog | None:
    """Return the newest failed row with a message, else the newest row."""
    return max((row for row in logs if row.msg or row.action), key=_weight, default=None)


def has_failed(row: TaskLog) -> bool:
    """Return whether the step failed."""
    return "FAIL" in (row.status or "").upper()


def _weight(row: TaskLog) -> tuple[bool, bool, int]:
    return has_failed(row), has_failed(row) and bool(row.msg), row.id


def message_of(row: TaskLog) -> str:
    """Return the message of a row; without one, what the task did."""
    return row.msg or row.action or ""


def excerpt(message: str) -> str:
    """Return the start of a long message and its last cause."""
    if len(message) <= MAX_HEAD + MAX_TAIL:
        return message
    _, found, cause = message[MAX_HEAD:].rpartition(_CAUSE)
    return f"{message[:MAX_HEAD]}..." + (f"\n{_CAUSE}{cause[:MAX_TAIL]}" if found else "")


def readable(message: str, limit: int = MAX_SHOWN) -> str:
    """Return a message as one masked line without stack frames."""
    text = " ".join(_FRAME.sub("", excerpt(masked(message))).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}\N{HORIZONTAL ELLIPSIS}"


def decisive_part(message: str, limit: int = MAX_EXAMPLE) -> str:
    """Return the readable message from its last cause on."""
    text = readable(message, MAX_HEAD + MAX_TAIL)
    _, found, cause = text.rpartition(_CAUSE)
    return readable(cause if found and cause.strip() else text, limit)


def pattern_of(message: str) -> str:
    """Return what messages of one cause have in common."""
    text = decisive_part(message, 3 * MAX_PATTERN)
    for blank, replacement in _BLANKS:
        text = blank.sub(replacement, text)
    return text if len(text) <= MAX_PATTERN else f"{text[: MAX_PATTERN - 1]}\N{HORIZONTAL ELLIPSIS}"
