"""Partition filter expressions: `ds >= 20240101 AND (region = 'eu' OR region <> 'us')`, `ds IN (20240101, 20240103)`.

The grammar is that of the open ancestor of MMS: `=`, `<>`, `<`, `<=`, `>`, `>=`, IN, AND, OR and parentheses, no `!=`.
Unquoted digits compare as numbers, everything else as text. UNVERIFIED: the vendor's page shows `p1=1/p2=abc` without a
grammar, so `/` and `,` between comparisons also mean AND.
"""

import operator
import re
from collections.abc import Callable
from typing import Any, Final

from exporter.simulator.api.parameters import bad_parameter

Levels = dict[str, str]
"""Partition value: text by partition column."""
_Predicate = Callable[[Levels], bool]
_TOKEN: Final = re.compile(r"""'[^']*'|"[^"]*"|<=|>=|<>|[=<>()/,]|[^\s'"=<>()/,]+|\S""")
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def partition_filter(text: str) -> Callable[[str], bool]:
    """Return a predicate for partition values such as `ds=20240101/region=cn`.

    Raises: Refusal if the expression is not valid.
    """
    parser = _Parser(text)
    try:
        holds = parser.whole()
    except (LookupError, RecursionError):
        raise bad_parameter("partitionFilters", "comparisons such as p1=1 AND p2<>'abc'") from None
    return lambda value: holds(dict(level.partition("=")[::2] for level in value.split("/")))


class _Parser:
    """Recursive descent; each method takes tokens from the start. Raises: LookupError."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = _TOKEN.findall(text)[::-1]

    def whole(self) -> _Predicate:
        found = self._any()
        if self._tokens:
            raise LookupError
        return found

    def _any(self) -> _Predicate:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return lambda levels: any(part(levels) for part in parts)

    def _all(self) -> _Predicate:
        parts = [self._one()]
        while self._take("and", "/", ","):
            parts.append(self._one())
        return lambda levels: all(part(levels) for part in parts)

    def _one(self) -> _Predicate:
        if self._take("("):
            inner = self._any()
            self._expect(")")
            return inner
        column = self._word()
        if not self._take("in"):
            return _comparison(column, self._tokens.pop(), self._word())
        self._expect("(")
        choices = [_comparison(column, "=", self._word())]
        while self._take(","):
            choices.append(_comparison(column, "=", self._word()))
        self._expect(")")
        return lambda levels: any(choice(levels) for choice in choices)

    def _take(self, *tokens: str) -> bool:
        is_next = bool(self._tokens) and self._tokens[-1].lower() in tokens
        if is_next:
            self._tokens.pop()
        return is_next

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise LookupError(token)

    def _word(self) -> str:
        token = self._tokens.pop()
        if token in {*_COMPARE, *"()/,'\"!"}:
            raise LookupError(token)
        return token


def _comparison(column: str, sign: str, value: str) -> _Predicate:
    compare = _COMPARE[sign]
    if value.isdecimal():
        return lambda levels: levels.get(column, "").isdecimal() and compare(int(levels[column]), int(value))
    return lambda levels: column in levels and compare(levels[column], value.strip("'\""))
