"""Strict parsing of query parameters, and error answers with the vendor's codes, where those are known.

Text filters match like SQL LIKE: anywhere in the text, `%` for any characters and `_` for one, ignoring case.
UNVERIFIED: the codes for missing objects and invalid parameter values; a live account would settle them.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

Match = Callable[[str], bool]
TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
ORDERS: Final = ("asc", "desc")
_BOOLEANS: Final = {"0": False, "1": True, "false": False, "true": True}
_LARGEST: Final = 2**63 - 1


class Refusal(Exception):
    """A request answered with a status of 400 or above."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def bad_parameter(name: str, expected: str) -> Refusal:
    """Return the error for an invalid parameter value."""
    return Refusal(400, f"InvalidParameter.{name}", f"The parameter {name} is not valid: expected {expected}.")


class ObjectMissing(Refusal):
    """A request about an object that does not exist."""


def not_found(kind: str, number: int | str) -> Refusal:
    """Return the error for an object that does not exist."""
    return ObjectMissing(404, f"{kind}NotFound", f"The specified {kind} {number} does not exist.")


class Query:
    """The parameters of one request."""

    def __init__(self, pairs: Sequence[tuple[str, str]], known: Collection[str]) -> None:
        self._values = dict(pairs)
        for name in self._values:
            if name not in known:
                raise Refusal(400, "InvalidParameter", f"The parameter {name} is not supported.")
        if len(self._values) != len(pairs):
            raise Refusal(400, "InvalidParameter", "A parameter is given more than once.")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        """Return a parameter as text, or None."""
        return self._values.get(name)

    def integer(self, name: str, default: int = 0, *, least: int = 0) -> int:
        """Return an integer, or `default` if absent."""
        return integer(name, self._values[name], least=least) if name in self._values else default

    def choice(self, name: str, choices: Iterable[str]) -> str | None:
        """Return one of `choices`, or None if absent."""
        value = self._values.get(name)
        if value is not None and value not in frozenset(choices):
            raise bad_parameter(name, "one of " + ", ".join(choices))
        return value

    def choices(self, name: str, choices: Iterable[str]) -> frozenset[str] | None:
        """Return the choices in a JSON array, None if absent."""
        if name not in self._values:
            return None
        try:
            values = msgspec.json.decode(self._values[name], type=frozenset[str])
        except msgspec.DecodeError:
            raise bad_parameter(name, "a JSON array of strings") from None
        if not values <= frozenset(choices):
            raise bad_parameter(name, "a JSON array of " + ", ".join(choices))
        return values

    def sorters(self, name: str, fields: Iterable[str]) -> dict[str, str]:
        """Return the order by field in a JSON object."""
        try:
            orders = msgspec.json.decode(self._values.get(name, "{}"), type=dict[str, str])
        except msgspec.DecodeError:
            raise bad_parameter(name, "a JSON object of strings") from None
        if not orders.keys() <= frozenset(fields) or not set(orders.values()) <= frozenset(ORDERS):
            raise bad_parameter(name, f"{', '.join(fields)}, each asc or desc")
        return orders

    def boolean(self, name: str) -> bool | None:
        """Return a boolean, written as true, false, 1 or 0."""
        if name not in self._values:
            return None
        if self._values[name].lower() not in _BOOLEANS:
            raise bad_parameter(name, "true or false")
        return _BOOLEANS[self._values[name].lower()]

    def time(self, name: str) -> str | None:
        """Return a time, which compares as text."""
        value = self._values.get(name)
        if value is not None:
            try:
                datetime.strptime(value, TIME_FORMAT)  # noqa: DTZ007 - the API's times have no zone
            except ValueError:
                raise bad_parameter(name, "YYYY-MM-DD HH:MM:SS") from None
        return value

    def like(self, name: str) -> Match | None:
        """Return a text filter, or None if absent."""
        return like(self._values[name]) if self._values.get(name) else None


def integer(name: str, text: str, *, least: int = 0) -> int:
    """Parse an integer of at least `least`."""
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) or not least <= int(text) <= _LARGEST:
        raise bad_parameter(name, f"an integer of at least {least}")
    return int(text)


def like(pattern: str) -> Match:
    """Return a predicate for texts that contain `pattern`."""
    wildcards = {"%": ".*", "_": "."}
    expression = "".join(wildcards.get(char) or re.escape(char) for char in pattern)
    compiled = re.compile(expression, re.IGNORECASE | re.DOTALL)
    return lambda text: compiled.search(text) is not None
