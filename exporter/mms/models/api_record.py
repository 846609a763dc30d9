"""Base class of all API records; strips their texts. Does not know the concrete records."""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Final, NamedTuple, TypeVar, get_args

from msgspec import Struct, convert
from msgspec.structs import fields, force_setattr

R = TypeVar("R", bound="ApiRecord")

_TRAILING_NEWLINE: Final = re.compile(rb'\\n"(?=[,}\]])')
"""A newline at the end of a string value."""
_OUTER_SPACE: Final = re.compile(rb' (?:(?=")|(?<=" ))')
"""A space next to a quote. The pattern starts with the space, because a response has few spaces and many quotes."""
_EMPTY_VALUE: Final = re.compile(rb'":""(?=[,}])')


class ApiRecord(Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One object of an API response."""

    # Without GC tracking (gc=False): a record has only values and is in no cycle.

    EXPECTED: ClassVar[tuple[str, ...]] = ()
    """Fields that every response should have; the API may omit the others."""


def strip_body(body: bytes) -> bytes | None:
    """Strip all texts of a JSON body; None if not possible."""
    # One substitution over the body is much faster than one per text. It handles only compact JSON without escapes.
    text = _TRAILING_NEWLINE.sub(b'"', body)
    if not text.isascii() or b"\\" in text or _OUTER_SPACE.search(text):
        return None
    return _EMPTY_VALUE.sub(b'":null', text)


def strip_texts(record: ApiRecord) -> None:
    """Strip every text of a new record; empty texts become None."""
    # The vendor's examples have trailing newlines.
    known = _text_fields(type(record))
    texts = known.texts_of(record)
    present = [*filter(None, texts)]
    if "" in texts or [*map(str.strip, present)] != present:
        _strip_fields(record, known.plain)
    _strip_fields(record, known.others)


def record_from(raw: object, kind: type[R]) -> R:
    """Convert an object of a response. Raises: msgspec.ValidationError."""
    record = convert(raw, kind)
    strip_texts(record)
    return record


def _strip_fields(record: ApiRecord, names: tuple[str, ...]) -> None:
    for name in names:
        match getattr(record, name):
            case str(text):
                force_setattr(record, name, text.strip() or None)
            case tuple((str(), *_) as texts):
                force_setattr(record, name, tuple(map(str.strip, texts)))
            case dict(texts):
                force_setattr(record, name, {key.strip(): text.strip() for key, text in texts.items()})
            case tuple((ApiRecord(), *_) as records):
                for each in records:
                    strip_texts(each)
            case ApiRecord() as nested:
                strip_texts(nested)


class _TextFields(NamedTuple):
    plain: tuple[str, ...]
    """Fields of type `str | None`."""
    texts_of: Callable[[object], tuple[str | None, ...]]
    """Returns the values of all plain fields at once."""
    others: tuple[str, ...]
    """Other fields with texts or records inside."""


@cache
def _text_fields(kind: type[ApiRecord]) -> _TextFields:
    plain = tuple(field.name for field in fields(kind) if field.type == str | None)
    others = tuple(field.name for field in fields(kind) if field.name not in plain and _holds_text(field.type))
    return _TextFields(plain, attribute_reader(plain), others)


def _holds_text(annotation: Any) -> bool:  # noqa: ANN401 - any field's type
    if parts := get_args(annotation):
        return any(map(_holds_text, parts))
    return isinstance(annotation, type) and issubclass(annotation, str | ApiRecord) and not issubclass(annotation, Enum)


def attribute_reader(names: Sequence[str]) -> Callable[[object], tuple[Any, ...]]:
    """Return a function that returns the named attributes as tuple."""
    if len(names) < 2:  # noqa: PLR2004 - attrgetter returns no tuple for one name
        return lambda record: tuple(getattr(record, name) for name in names)
    return attrgetter(*names)
