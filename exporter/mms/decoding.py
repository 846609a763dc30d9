"""Answers of the API -> records, however broken the answer is.

A field that is missing, null, an empty text or of the wrong type costs that field; a row that is no object, or has no
id, costs that row. What was lost is named in `unexpected`. Pure: bytes in, records out.
"""

import json
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, get_args, get_origin

import msgspec

from exporter.errors import MalformedAnswer
from exporter.mms.models import Count
from exporter.mms.record import ApiRecord, reader_of, strip, stripped

T = TypeVar("T")
R = TypeVar("R", bound=ApiRecord)

_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

LOST_ROW = "row"
"""What `unexpected` says of a whole row; no field of the API has that name."""
MAX_DIGITS = 400
"""Of a number that is read as one."""


class Identified(Protocol):
    """A row with an id."""

    @property
    def id(self) -> int:
        """Unique within its list."""


@dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """A value, and what could not be read of it."""

    value: T
    unexpected: tuple[str, ...] = ()
    """The API's name of each field that was lost, once for each loss; LOST_ROW for a row."""


class Page(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One page of a list."""

    rows: tuple[T, ...]
    total: int | None
    """How many rows the filter matches, as the API says."""


class _Body(msgspec.Struct, Generic[T], rename="camel"):
    data: T


class _Rows(msgspec.Struct, Generic[T], rename="camel"):
    object_list: list[T]
    total: Count


@cache
def _page_decoder(kind: type[R]) -> msgspec.json.Decoder[_Body[_Rows[R]]]:
    return msgspec.json.Decoder(_Body[_Rows[kind]])  # type: ignore[valid-type]  # a generic made at run time


@cache
def _object_decoder(kind: type[R]) -> msgspec.json.Decoder[_Body[R]]:
    return msgspec.json.Decoder(_Body[kind])  # type: ignore[valid-type]  # a generic made at run time


def decode_page(kind: type[R], body: bytes) -> Decoded[Page[R]]:
    """Return the page of `kind` in an answer. Raises: MalformedAnswer."""
    plain = stripped(body)
    try:
        data = _page_decoder(kind).decode(body if plain is None else plain).data
    except _UNREADABLE:
        return _page_of(kind, _loaded(body))
    for row in data.object_list if plain is None else ():
        strip(row)
    missing = [name for row in data.object_list for name in _missing(row)]
    return Decoded(Page(tuple(data.object_list), data.total), tuple(missing))


def decode_object(kind: type[R], body: bytes) -> Decoded[R]:
    """Return the object of `kind` in an answer. Raises: MalformedAnswer."""
    try:
        record = _object_decoder(kind).decode(body).data
    except _UNREADABLE:
        return _object_of(kind, _loaded(body))
    strip(record)
    return Decoded(record, tuple(_missing(record)))


class Fingerprint(msgspec.Struct, frozen=True, gc=False):
    """By what data that were read are known again in this process."""

    digest: int
    unexpected: tuple[str, ...]
    """What could not be used of them, which is told again each time."""


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """What an answer holds whose data are not those from before."""

    value: T
    fingerprint: Fingerprint | None
    """None where the data could not be told from what stands around them, or too much of them is unexpected."""


MAX_LOSSES_KEPT: Final = 1000
"""Of an answer with more that is unexpected, that is not remembered: one may consist of millions of broken rows."""
_DATA: Final = msgspec.json.Decoder(_Body[msgspec.Raw])


def decode_if_changed(kind: type[R], body: bytes, before: Fingerprint | None) -> Decoded[Changed[Page[R]] | None]:
    """Return the page in an answer; None where its data equal `before`. Raises: MalformedAnswer."""
    # The data alone are compared: each answer has a request id of its own.
    try:
        digest = hash(bytes(_DATA.decode(body).data))
    except _UNREADABLE:
        digest = None
    if before is not None and before.digest == digest:
        return Decoded(None, before.unexpected)
    decoded = decode_page(kind, body)
    fingerprint = None
    if digest is not None and len(decoded.unexpected) <= MAX_LOSSES_KEPT:
        fingerprint = Fingerprint(digest, decoded.unexpected)
    return Decoded(Changed(decoded.value, fingerprint), decoded.unexpected)


class _Id(ApiRecord, frozen=True, kw_only=True):
    id: Count


_IDS: Final = msgspec.json.Decoder(_Body[_Rows[_Id]])


def decode_selected(kind: type[R], body: bytes, ids: Container[int]) -> Decoded[Page[R]]:
    """Return the page in an answer, with the rows of `ids` only. Raises: MalformedAnswer."""
    try:
        data = _IDS.decode(body).data
    except _UNREADABLE:
        pass
    else:  # rows that nobody asked for are not decoded
        if not any(row.id in ids for row in data.object_list):
            return Decoded(Page((), data.total))
    decoded = decode_page(kind, body)
    rows = tuple(row for row in decoded.value.rows if getattr(row, "id", None) in ids)
    return Decoded(Page(rows, decoded.value.total), decoded.unexpected)


def loaded_object(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in `body`; None where there is none. Invalid UTF-8 and lone surrogates are replaced."""
    try:
        value = json.loads(body.decode("utf-8-sig", "replace"), parse_int=_number)
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(digits: str) -> float:
    """Return a whole number; one that no field can hold as infinity, since Python refuses to read it."""
    return int(digits) if len(digits) < MAX_DIGITS else float("inf")


def _loaded(body: bytes) -> dict[str, Any]:
    value = loaded_object(body)
    if value is None:
        raise MalformedAnswer("the response is not a JSON object")
    return value


def _page_of(kind: type[R], body: dict[str, Any]) -> Decoded[Page[R]]:
    data = body.get("data")
    if not isinstance(data, dict):
        raise MalformedAnswer("the response has no data")
    unexpected: list[str] = []
    total = _converted(Count, data.get("total"))
    if total is None:
        unexpected.append("total")
    listed = data.get("objectList")
    if listed is None and total == 0:
        listed = []
    if not isinstance(listed, list):
        raise MalformedAnswer("the response has no objectList")
    rows = []
    for item in listed:
        row = _record_of(kind, item, unexpected)
        if row is None:
            unexpected.append(LOST_ROW)
        else:
            rows.append(row)
    return Decoded(Page(tuple(rows), total), tuple(unexpected))


def _object_of(kind: type[R], body: dict[str, Any]) -> Decoded[R]:
    unexpected: list[str] = []
    record = _record_of(kind, body.get("data"), unexpected)
    if record is None:
        raise MalformedAnswer("the response has no data of the expected type")
    return Decoded(record, tuple(unexpected))


def _record_of(kind: type[R], item: object, unexpected: list[str]) -> R | None:
    """Return what can be read of `item`; None, with nothing added to `unexpected`, where a required field is lost."""
    if not isinstance(item, dict):
        return None
    values: dict[str, Any] = {}
    lost: list[str] = []
    for field in msgspec.structs.fields(kind):
        given = item.get(field.encode_name)
        if isinstance(given, str) and not given.strip():
            given = None  # an empty text is as good as none, whatever it is there for
        value = None if given is None else _field_value(field.type, given, lost)
        if value is not None:
            values[field.name] = value
        elif field.required:
            return None
        elif given is not None:
            lost.append(field.encode_name)
    record = kind(**values)
    strip(record)
    unexpected.extend(dict.fromkeys((*lost, *_missing(record))))
    return record


def _field_value(annotation: Any, given: object, lost: list[str]) -> Any:  # noqa: ANN401 - any field's type
    nested = next((part for part in _parts(annotation) if isinstance(part, type) and issubclass(part, ApiRecord)), None)
    return _converted(annotation, given) if nested is None else _record_of(nested, given, lost)


def _parts(annotation: Any) -> Sequence[Any]:  # noqa: ANN401 - any field's type
    return get_args(annotation) if get_origin(annotation) is UnionType or isinstance(annotation, UnionType) else ()


def _converted(annotation: Any, given: object) -> Any:  # noqa: ANN401 - any field's type
    try:
        return msgspec.convert(given, annotation)
    except _UNREADABLE:
        return None


def _missing(record: ApiRecord) -> list[str]:
    expected = _expected(type(record))
    if None not in expected.values_of(record):
        return []
    return [encoded for name, encoded in expected.names.items() if getattr(record, name) is None]


class _Expected(NamedTuple):
    names: dict[str, str]
    """The fields that an answer should have, with the API's name of each."""
    values_of: Callable[[object], tuple[Any, ...]]


@cache
def _expected(kind: type[ApiRecord]) -> _Expected:
    fields = [field for field in msgspec.structs.fields(kind) if field.name not in kind.OPTIONAL]
    names = {field.name: field.encode_name for field in fields}
    return _Expected(names, reader_of(tuple(names)))
