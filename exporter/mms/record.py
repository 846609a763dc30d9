"""The form of all records: what they do to the texts of an answer. Knows no record by name."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Final, NamedTuple, TypeVar, get_args

from msgspec import Struct, convert
from msgspec.structs import fields, force_setattr

R = TypeVar("R", bound="ApiRecord")

_TRAILING_NEWLINE: Final = re.compile(rb'\\n"(?=[,}\]])')
"""At the end of a value. One at the end of a key, or outside of a text, is not for what mends."""
_OUTER_SPACE: Final = re.compile(rb' (?:(?=")|(?<=" ))')
"""After a quote, or before one. There are few spaces in an answer, and many quotes: a search for both is slow."""
_EMPTY_VALUE: Final = re.compile(rb'":""(?=[,}])')


class ApiRecord(Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One object of an answer. The garbage collector need not look at it: it is made of values, and is in no cycle."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    """Fields that the API may leave out without anything being wrong."""


def stripped(body: bytes) -> bytes | None:
    """Return the JSON of `body` with every text stripped as `strip` does it; None where that takes to look at each.

    There are a hundred rows in an answer, each with a trailing newline at most: mending it whole costs far less.
    """
    mended = _TRAILING_NEWLINE.sub(b'"', body)
    if not mended.isascii() or b"\\" in mended or _OUTER_SPACE.search(mended):
        return None
    return _EMPTY_VALUE.sub(b'":null', mended)


def strip(record: ApiRecord) -> None:
    """Strip every text of a new record, since the vendor's examples carry trailing newlines.

    A field whose text is empty is None, as if it were not there; so it is where the field is no text.
    """
    known = _text_fields(type(record))
    texts = known.texts_of(record)
    present = [*filter(None, texts)]
    if "" in texts or [*map(str.strip, present)] != present:
        _strip(record, known.plain)
    _strip(record, known.others)


def record_from(raw: object, kind: type[R]) -> R:
    """Return the record of an object as it stands in an answer. Raises: msgspec.ValidationError."""
    record = convert(raw, kind)
    strip(record)
    return record


def _strip(record: ApiRecord, names: tuple[str, ...]) -> None:
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
                    strip(each)
            case ApiRecord() as nested:
                strip(nested)


class _TextFields(NamedTuple):
    plain: tuple[str, ...]
    """Those that are a text or None."""
    texts_of: Callable[[object], tuple[str | None, ...]]
    """Reads all of them at once: there are a hundred rows on a page, and mostly nothing to strip."""
    others: tuple[str, ...]
    """Those that are, or hold, a text or a record among other things."""


@cache
def _text_fields(kind: type[ApiRecord]) -> _TextFields:
    plain = tuple(field.name for field in fields(kind) if field.type == str | None)
    others = tuple(field.name for field in fields(kind) if field.name not in plain and _holds_text(field.type))
    return _TextFields(plain, reader_of(plain), others)


def _holds_text(annotation: Any) -> bool:  # noqa: ANN401 - any field's type
    if parts := get_args(annotation):
        return any(map(_holds_text, parts))
    return isinstance(annotation, type) and issubclass(annotation, str | ApiRecord)


def reader_of(names: Sequence[str]) -> Callable[[object], tuple[Any, ...]]:
    """Return what reads the attributes `names` of an object, all at once."""
    if len(names) < 2:  # noqa: PLR2004 - of one name, attrgetter makes no tuple
        return lambda record: tuple(getattr(record, name) for name in names)
    return attrgetter(*names)
