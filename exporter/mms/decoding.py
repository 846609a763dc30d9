"""Decode API responses into records; tolerate broken fields and rows. Pure.

A missing, null, empty or mistyped field becomes None. A row that is no object or has no ID is dropped. `unexpected`
lists the losses.
"""

import json
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, get_args, get_origin

import msgspec

from exporter.errors import MalformedAnswer
from exporter.mms.models.api_record import ApiRecord, attribute_reader, strip_body, strip_texts
from exporter.mms.models.records import Count

T = TypeVar("T")
R = TypeVar("R", bound=ApiRecord)

_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

LOST_ROW = "row"
"""Name of a dropped row in `unexpected`; no API field has this name."""
MAX_DIGITS = 400
"""Maximum digits of a number."""


class Identified(Protocol):
    """A row with an ID."""

    @property
    def id(self) -> int:
        """Unique within its list."""


@dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """A decoded value with its losses."""

    value: T
    unexpected: tuple[str, ...] = ()
    """API name of each lost field, once per loss; LOST_ROW for a row."""


class Page(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One page of a list."""

    rows: tuple[T, ...]
    total: int | None
    """Number of rows that match the filter, according to the API; None if missing."""


class _Body(msgspec.Struct, Generic[T], rename="camel"):
    data: T


class _Rows(msgspec.Struct, Generic[T], rename="camel"):
    object_list: list[T]
    total: Count


@cache
def _page_decoder(kind: type[R]) -> msgspec.json.Decoder[_Body[_Rows[R]]]:
    return msgspec.json.Decoder(_Body[_Rows[kind]])  # type: ignore[valid-type]  # a generic created at run time


@cache
def _object_decoder(kind: type[R]) -> msgspec.json.Decoder[_Body[R]]:
    return msgspec.json.Decoder(_Body[kind])  # type: ignore[valid-type]  # a generic created at run time


def decode_page(kind: type[R], body: bytes) -> Decoded[Page[R]]:
    """Decode a page of `kind`. Raises: MalformedAnswer."""
    stripped = strip_body(body)
    try:
        data = _page_decoder(kind).decode(body if stripped is None else stripped).data
    except _UNREADABLE:
        return _lenient_page(kind, _load(body))
    for row in data.object_list if stripped is None else ():
        strip_texts(row)
    missing = [name for row in data.object_list for name in _missing(row)]
    return Decoded(Page(tuple(data.object_list), data.total), tuple(missing))


@cache
def _rows_decoder(kind: type[R]) -> msgspec.json.Decoder[_Body[list[R]]]:
    return msgspec.json.Decoder(_Body[list[kind]])  # type: ignore[valid-type]  # a generic created at run time


def decode_rows(kind: type[R], body: bytes) -> Decoded[tuple[R, ...]]:
    """Decode rows of `kind` that are not paged. Raises: MalformedAnswer."""
    try:
        rows = _rows_decoder(kind).decode(body).data
    except _UNREADABLE:
        unexpected: list[str] = []
        return Decoded(tuple(_lenient_rows(kind, _load(body).get("data"), unexpected)), tuple(unexpected))
    for row in rows:
        strip_texts(row)
    return Decoded(tuple(rows), tuple(name for row in rows for name in _missing(row)))


def decode_object(kind: type[R], body: bytes) -> Decoded[R]:
    """Decode an object of `kind`. Raises: MalformedAnswer."""
    try:
        record = _object_decoder(kind).decode(body).data
    except _UNREADABLE:
        return _lenient_object(kind, _load(body))
    strip_texts(record)
    return Decoded(record, tuple(_missing(record)))


class Fingerprint(msgspec.Struct, frozen=True, gc=False):
    """Hash of decoded data; valid only in this process."""

    digest: int
    unexpected: tuple[str, ...]
    """Losses of the data, reported again while the data are unchanged."""


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """A response whose data differ from the previous one."""

    value: T
    fingerprint: Fingerprint | None
    """None if the data cannot be hashed, or have too many losses."""


MAX_CACHED_LOSSES: Final = 1000
"""Maximum losses in a Fingerprint; a response may consist of millions of broken rows."""
_DATA: Final = msgspec.json.Decoder(_Body[msgspec.Raw])


def decode_if_changed(kind: type[R], body: bytes, before: Fingerprint | None) -> Decoded[Changed[Page[R]] | None]:
    """Decode a page; None if its data equal `before`. Raises: MalformedAnswer."""
    # Only `data` is hashed, because each response has its own request ID.
    try:
        digest = hash(bytes(_DATA.decode(body).data))
    except _UNREADABLE:
        digest = None
    if before is not None and before.digest == digest:
        return Decoded(None, before.unexpected)
    decoded = decode_page(kind, body)
    fingerprint = None
    if digest is not None and len(decoded.unexpected) <= MAX_CACHED_LOSSES:
        fingerprint = Fingerprint(digest, decoded.unexpected)
    return Decoded(Changed(decoded.value, fingerprint), decoded.unexpected)


class _Id(ApiRecord, frozen=True, kw_only=True):
    id: Count


_IDS: Final = msgspec.json.Decoder(_Body[_Rows[_Id]])


def decode_selected(kind: type[R], body: bytes, ids: Container[int]) -> Decoded[Page[R]]:
    """Decode a page, only rows with `ids`. Raises: MalformedAnswer."""
    try:
        data = _IDS.decode(body).data
    except _UNREADABLE:
        pass
    else:  # without a requested row, skip the full decoding
        if not any(row.id in ids for row in data.object_list):
            return Decoded(Page((), data.total))
    decoded = decode_page(kind, body)
    rows = tuple(row for row in decoded.value.rows if getattr(row, "id", None) in ids)
    return Decoded(Page(rows, decoded.value.total), decoded.unexpected)


def load_json_object(body: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; None if `body` has none."""
    try:  # puts replacement characters in place of invalid UTF-8 and lone surrogates
        value = json.loads(body.decode("utf-8-sig", "replace"), parse_int=_number)
        text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        value = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(digits: str) -> float:
    # Python refuses very long integers. Infinity fits no field, so that the field is lost.
    return int(digits) if len(digits) < MAX_DIGITS else float("inf")


def _load(body: bytes) -> dict[str, Any]:
    value = load_json_object(body)
    if value is None:
        raise MalformedAnswer("the response is not a JSON object")
    return value


def _lenient_page(kind: type[R], body: dict[str, Any]) -> Decoded[Page[R]]:
    data = body.get("data")
    if not isinstance(data, dict):
        raise MalformedAnswer("the response has no data")
    unexpected: list[str] = []
    total = _convert(Count, data.get("total"))
    if total is None:
        unexpected.append("total")
    listed = data.get("objectList")
    if listed is None and total == 0:
        listed = []
    rows = _lenient_rows(kind, listed, unexpected)
    return Decoded(Page(tuple(rows), total), tuple(unexpected))


def _lenient_rows(kind: type[R], listed: object, unexpected: list[str]) -> list[R]:
    if not isinstance(listed, list):
        raise MalformedAnswer("the response has no list of rows")
    rows = []
    for item in listed:
        row = _lenient_record(kind, item, unexpected)
        if row is None:
            unexpected.append(LOST_ROW)
        else:
            rows.append(row)
    return rows


def _lenient_object(kind: type[R], body: dict[str, Any]) -> Decoded[R]:
    unexpected: list[str] = []
    record = _lenient_record(kind, body.get("data"), unexpected)
    if record is None:
        raise MalformedAnswer("the response has no data of the expected type")
    return Decoded(record, tuple(unexpected))


def _lenient_record(kind: type[R], item: object, unexpected: list[str]) -> R | None:
    # Without a required field, returns None and adds nothing to `unexpected`.
    if not isinstance(item, dict):
        return None
    values: dict[str, Any] = {}
    lost: list[str] = []
    for field in msgspec.structs.fields(kind):
        given = item.get(field.encode_name)
        if isinstance(given, str) and not given.strip():
            given = None  # an empty text counts as missing, for every type
        value = None if given is None else _field_value(field.type, given, lost)
        if value is not None:
            values[field.name] = value
        elif field.required:
            return None
        elif given is not None:
            lost.append(field.encode_name)
    record = kind(**values)
    strip_texts(record)
    unexpected.extend(dict.fromkeys((*lost, *_missing(record))))
    return record


def _field_value(annotation: Any, given: object, lost: list[str]) -> Any:  # noqa: ANN401 - any field's type
    members = (each for each in _union_members(annotation) if isinstance(each, type))
    nested = next((each for each in members if issubclass(each, ApiRecord)), None)
    return _convert(annotation, given) if nested is None else _lenient_record(nested, given, lost)


def _union_members(annotation: Any) -> Sequence[Any]:  # noqa: ANN401 - any field's type
    return get_args(annotation) if get_origin(annotation) is UnionType or isinstance(annotation, UnionType) else ()


def _convert(annotation: Any, given: object) -> Any:  # noqa: ANN401 - any field's type
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
    """Fields that every response should have, with their API names."""
    values_of: Callable[[object], tuple[Any, ...]]


@cache
def _expected(kind: type[ApiRecord]) -> _Expected:
    fields = [field for field in msgspec.structs.fields(kind) if field.name in kind.EXPECTED]
    return _Expected({field.name: field.encode_name for field in fields}, attribute_reader(kind.EXPECTED))
