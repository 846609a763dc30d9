"""Decoding of valid and broken responses; losses are minimal and reported."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import MalformedAnswer
from exporter.mms.decoding import (
    LOST_ROW,
    MAX_CACHED_LOSSES,
    Decoded,
    Fingerprint,
    Page,
    decode_if_changed,
    decode_object,
    decode_page,
    decode_rows,
    load_json_object,
)
from exporter.mms.models.api_record import ApiRecord, record_from, strip_body
from exporter.mms.models.records import (
    AsyncTask,
    CreatedJob,
    Database,
    DataSource,
    Job,
    JobConfig,
    MetadataScanJob,
    Partition,
    Table,
    TableSchema,
)
from exporter.mms.models.task_records import Task, TaskLog
from exporter.mms.models.timer_records import Timer, TimerLog
from tests.mms.conftest import sample

FULL: dict[type[ApiRecord], dict[str, Any]] = {
    DataSource: json.loads(sample("ListMmsDataSources", "scan"))["data"]["objectList"][0],
    Job: {
        **json.loads(sample("ListMmsJobs"))["data"]["objectList"][0],
        "eta": "2024-12-18",
        "config": {
            "taskType": "HIVE",
            "partitions": [7],
            "tables": ["orders"],
            "tableBlackList": ["a"],
            "tableWhiteList": ["b"],
            "partitionFilters": {"orders": "ds=20240101"},
            "schemaOnly": False,
            "tableMapping": {"orders": "orders_new"},
            "increment": True,
            "enableSchemaMigration": True,
            "enableDataMigration": True,
            "enableVerification": False,
            "tunnelQuota": "quota",
            "columnMapping": {"a": "b"},
        },
    },
    Database: json.loads(sample("ListMmsDbs", "listed"))["data"]["objectList"][0],
    MetadataScanJob: {"status": "DOING", "progress": 4250},
    Table: json.loads(sample("GetMmsTable"))["data"],
    Partition: json.loads(sample("GetMmsPartition"))["data"],
    Task: json.loads(sample("ListMmsTasks", "listed"))["data"]["objectList"][0],
    TaskLog: json.loads(sample("ListMmsTaskLogs", "listed"))["data"][0],
    Timer: json.loads(sample("ListMmsTimers", "listed"))["data"]["objectList"][0],
    TimerLog: json.loads(sample("ListMmsTimerLogs", "listed"))["data"]["objectList"][0],
    CreatedJob: {"asyncTaskId": 7},
    AsyncTask: {**json.loads(sample("GetMmsAsyncTask", "done"))["data"], "errorMsg": "no such table"},
}
"""One row of each record type with a value in every field."""

WRONG_COUNTS = (-1, 1.5, 1e300, 2**63, 2**80, True, "7", [7])
WRONG_TEXTS = (7, 1.5, True, ["a"], {"a": "b"})


class Damage(NamedTuple):
    """A row with one broken field."""

    kind: type[ApiRecord]
    field: msgspec.structs.FieldInfo
    value: object
    costs: bool
    """Whether the field counts as unexpected."""

    @property
    def row(self) -> dict[str, Any]:
        rest = {name: value for name, value in FULL[self.kind].items() if name != self.field.encode_name}
        return rest if self.value is ... else {**rest, self.field.encode_name: self.value}

    def __str__(self) -> str:
        return f"{self.kind.__name__}-{self.field.encode_name}-{'missing' if self.value is ... else repr(self.value)}"


def wrong_values(annotation: object) -> tuple[object, ...]:
    text = str(annotation)
    if "JobConfig" in text or "TableSchema" in text:
        return 7, "config", [{}]
    if annotation == AsyncTask.__annotations__["progress"]:
        return True, [100], {}
    if annotation == MetadataScanJob.__annotations__["progress"]:
        return -1, 10_001, 1e300, True, "7", [7]
    if "tuple" in text:
        return 7, "a", [{}], [None], {"a": "b"}
    if "bool" in text:
        return 0, 1, "true", []
    return WRONG_COUNTS if "Meta" in text else WRONG_TEXTS


def damages() -> Iterator[Damage]:
    for kind in FULL:
        for field in msgspec.structs.fields(kind):
            is_expected = field.required or field.name in kind.EXPECTED
            yield from (Damage(kind, field, value, is_expected) for value in (..., None, "", "\n"))
            yield from (Damage(kind, field, value, costs=True) for value in wrong_values(field.type))


DAMAGES = list(damages())
OPTIONAL_DAMAGES = [each for each in DAMAGES if not each.field.required]
REQUIRED_DAMAGES = [each for each in DAMAGES if each.field.required]


def in_page(*rows: object, total: object = 3) -> bytes:
    return json.dumps({"data": {"total": total, "objectList": rows}}).encode()


def spellings(body: bytes) -> tuple[bytes, bytes]:
    """Return a body with spaces (slow stripping) and compact (fast stripping)."""
    return body, json.dumps(json.loads(body), separators=(",", ":")).encode()


def test_the_full_records_have_every_field() -> None:
    for kind, row in FULL.items():
        whole = record_from(row, kind)
        assert all(getattr(whole, name) is not None for name in kind.__struct_fields__)


def each_kind(damages: list[Damage]) -> pytest.MarkDecorator:
    """Give a test all damages of one kind of record."""
    kinds = dict.fromkeys(each.kind for each in damages)
    groups = [[each for each in damages if each.kind is kind] for kind in kinds]
    return pytest.mark.parametrize("damages", groups, ids=[kind.__name__ for kind in kinds])


@each_kind(OPTIONAL_DAMAGES)
def test_a_broken_field_of_an_object_becomes_none(damages: list[Damage]) -> None:
    for damage in damages:
        expected = msgspec.structs.replace(record_from(FULL[damage.kind], damage.kind), **{damage.field.name: None})
        for body in spellings(json.dumps({"data": damage.row}).encode()):
            decoded = decode_object(damage.kind, body)
            assert decoded == Decoded(expected, (damage.field.encode_name,) if damage.costs else ()), damage


@each_kind([each for each in OPTIONAL_DAMAGES if hasattr(each.kind, "id")])
def test_a_broken_field_of_a_row_becomes_none(damages: list[Damage]) -> None:
    for damage in damages:
        good = FULL[damage.kind]
        whole = record_from(good, damage.kind)
        expected = (whole, msgspec.structs.replace(whole, **{damage.field.name: None}), whole)
        for body in spellings(in_page(good, damage.row, good)):
            decoded = decode_page(damage.kind, body)
            assert decoded == Decoded(Page(expected, 3), (damage.field.encode_name,) if damage.costs else ()), damage


@each_kind(REQUIRED_DAMAGES)
def test_without_an_id_a_row_is_dropped_and_an_object_is_malformed(damages: list[Damage]) -> None:
    for damage in damages:
        good = FULL[damage.kind]
        decoded = decode_page(damage.kind, in_page(good, damage.row, good))
        assert decoded == Decoded(Page((record_from(good, damage.kind),) * 2, 3), (LOST_ROW,)), damage
        with pytest.raises(MalformedAnswer):
            decode_object(damage.kind, json.dumps({"data": damage.row}).encode())


@pytest.mark.parametrize("field", msgspec.structs.fields(JobConfig), ids=lambda field: field.encode_name)
def test_a_broken_field_of_a_job_config_becomes_none(field: msgspec.structs.FieldInfo) -> None:
    config = {**FULL[Job]["config"], field.encode_name: {"a": 1}}
    whole = record_from(FULL[Job], Job)
    assert whole.config is not None
    expected = msgspec.structs.replace(whole, config=msgspec.structs.replace(whole.config, **{field.name: None}))
    decoded = decode_page(Job, in_page({**FULL[Job], "config": config}))
    assert decoded == Decoded(Page((expected,), 3), (field.encode_name,))


TEXTS = st.text(st.sampled_from('ab:,"\\\n\t \u00a0\u3000{}[]'), max_size=6)
MAPPINGS = st.dictionaries(TEXTS, TEXTS, max_size=2)
JOBS = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(1, 9)},
        optional={
            "name": TEXTS,
            "name\n": TEXTS,
            "createTime": TEXTS,
            "taskNum": st.integers(0, 9) | TEXTS,
            "stopped": st.booleans() | TEXTS,
            "id\n": st.integers(1, 9),
            "config": st.fixed_dictionaries(
                {}, optional={"tables": st.lists(TEXTS), "tableMapping": MAPPINGS, "tunnelQuota": TEXTS}
            ),
        },
    ),
    max_size=3,
)


@settings(max_examples=300)
@given(JOBS, st.booleans())
def test_fast_and_slow_stripping_are_equal(rows: list[Any], ensure_ascii: bool) -> None:  # noqa: FBT001 - drawn
    answer = {"data": {"total": 3, "objectList": rows}}
    compact = json.dumps(answer, separators=(",", ":"), ensure_ascii=ensure_ascii).encode()
    spaced = json.dumps(answer).encode()
    assert strip_body(spaced) is None, "spaces prevent fast stripping"
    assert decode_page(Job, compact) == decode_page(Job, spaced)


@pytest.mark.parametrize("text", ["a \n", " a\n", "\na", "a\n\n", "a\t", "\u3000a", "a\\\n"])
def test_other_white_space_is_stripped_per_text(text: str) -> None:
    assert strip_body(json.dumps({"data": {"name": text, "id": 1}}, separators=(",", ":")).encode()) is None


@pytest.mark.parametrize("text", ["", "a", "a\n", "\n", "a b"])
def test_a_compact_body_is_stripped_at_once(text: str) -> None:
    body = json.dumps({"data": {"name": text, "id": 1}}, separators=(",", ":")).encode()
    assert json.loads(strip_body(body) or b"") == {"data": {"name": text.strip() or None, "id": 1}}


@pytest.mark.parametrize(
    "row",
    [
        '{"id":1,"name":"x:""y"}',
        '{"id":1,"name":"x:"",y"}',
        '{"id":1,\\n"name":"x"}',
        '{"id":1,"name":"x"\\n,"type":"y"}',
        '{"id":1,"name\\n":"x"',
    ],
)
def test_stripping_does_not_make_invalid_json_valid(row: str) -> None:
    with pytest.raises(MalformedAnswer):
        decode_page(Job, f'{{"data":{{"total":1,"objectList":[{row}]}}}}'.encode())


def test_a_broken_column_keeps_the_rest_of_the_schema() -> None:
    schema = {**FULL[Table]["schema"], "columns": [{"name": 7}]}
    decoded = decode_object(Table, json.dumps({"data": {**FULL[Table], "schema": schema}}).encode())
    assert isinstance(decoded.value.schema, TableSchema)
    assert decoded.value.schema.columns is None
    assert decoded.value.schema.partitions is not None
    assert decoded.unexpected == ("columns",)


@pytest.mark.parametrize("row", [None, 7, "row", True, [], [FULL[Job]], {}], ids=repr)
def test_a_value_that_is_no_row_is_dropped(row: object) -> None:
    decoded = decode_page(Job, in_page(FULL[Job], row, FULL[Job]))
    assert [each.id for each in decoded.value.rows] == [18, 18]
    assert decoded.unexpected == (LOST_ROW,)


@pytest.mark.parametrize("total", [None, -1, "3", 3.5, True, 2**63, [], "missing"], ids=repr)
def test_a_broken_total_keeps_the_rows(total: object) -> None:
    body = in_page(FULL[Job], total=total).replace(b'"total": "missing", ', b"")
    decoded = decode_page(Job, body)
    assert [each.id for each in decoded.value.rows] == [18]
    assert (decoded.value.total, decoded.unexpected) == (None, ("total",))


@pytest.mark.parametrize("body", [b'{"data":{"total":0}}', b'{"data":{"total":0,"objectList":null}}'])
def test_an_empty_list_can_be_missing(body: bytes) -> None:
    assert decode_page(Job, body) == Decoded(Page((), 0), ())


NONSENSE = {
    "empty": b"",
    "html": b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    "null": b"null",
    "array": b"[]",
    "text": b'"data"',
    "number": b"7",
    "no data": b'{"requestId":"C1F7715F"}',
    "null data": b'{"data":null}',
    "text for data": b'{"data":"DONE"}',
    "array for data": b'{"data":[]}',
    "cut short": in_page(FULL[Job])[:-20],
    "two documents": in_page(FULL[Job]) * 2,
    "deep array": b"[" * 200_000,
    "deep object": b'{"data":' * 100_000,
    "deep in data": b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "utf-16": in_page(FULL[Job]).decode().encode("utf-16"),
    "no bytes of any text": bytes(range(256)),
}
NO_PAGE = {
    "no list": b'{"data":{"total":3}}',
    "null list": b'{"data":{"total":3,"objectList":null}}',
    "object for list": b'{"data":{"total":3,"objectList":{}}}',
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("kind", FULL, ids=lambda kind: kind.__name__)
def test_invalid_bodies_are_malformed(kind: type[ApiRecord], body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        decode_object(kind, body)
    with pytest.raises(MalformedAnswer):
        decode_page(kind, body)


@pytest.mark.parametrize("body", NO_PAGE.values(), ids=NO_PAGE)
def test_a_page_without_list_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        decode_page(Job, body)


def job_from(text: bytes) -> Decoded[Page[Job]]:
    """Decode a valid job and one with `text` as `name` and `taskNum`."""
    good = json.dumps(FULL[Job]).encode()
    broken = good.replace(b'"taskNum": 10', b'"taskNum": ' + text).replace(b'"migrate_db_1"', text)
    return decode_page(Job, b'{"data":{"total":2,"objectList":[' + good + b"," + broken + b"]}}")


@pytest.mark.parametrize(
    "text",
    [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0.5", b"9" * 30, b"9" * 400, b"9" * 5000, b"1e400000000"],
    ids=lambda text: text[:12].decode(),
)
def test_a_number_out_of_range_becomes_none(text: bytes) -> None:
    decoded = job_from(text)
    assert [(job.id, job.name, job.task_num) for job in decoded.value.rows] == [
        (18, "migrate_db_1", 10),
        (18, None, None),
    ]
    assert sorted(decoded.unexpected) == ["name", "taskNum"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (rb'"a\ud800b"', "a" + "\N{REPLACEMENT CHARACTER}" * 3 + "b"),
        (rb'"a\udfff\ud800b"', "a" + "\N{REPLACEMENT CHARACTER}" * 6 + "b"),
        (b'"a\xff\xfeb"', "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"),
        (b'"a\xed\xa0\x80b"', "a" + "\N{REPLACEMENT CHARACTER}" * 3 + "b"),
        (rb'"a\u0000b"', "a\0b"),
        ('"\N{BUTTERFLY}"'.encode(), "\N{BUTTERFLY}"),
        (b'" \\n\\t a b \\r\\n"', "a b"),
    ],
)
def test_invalid_unicode_is_replaced(text: bytes, name: str) -> None:
    """The result can be encoded as UTF-8, for label values."""
    jobs = job_from(text).value.rows
    assert [job.name for job in jobs] == ["migrate_db_1", name]


def test_the_last_duplicate_key_applies() -> None:
    body = b'{"data":{"asyncTaskId":1},"data":{"asyncTaskId":2,"asyncTaskId":3}}'
    assert decode_object(CreatedJob, body).value.async_task_id == 3


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_text_becomes_none(text: str) -> None:
    row = {**FULL[Job], "name": text}
    alone = decode_page(Job, in_page(row))
    beside_a_broken_row = decode_page(Job, in_page(row, 7))
    assert alone.value.rows[0].name is None
    assert alone.value.rows == beside_a_broken_row.value.rows
    assert (*alone.unexpected, LOST_ROW) == beside_a_broken_row.unexpected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from(list(FULL))


def broken_rows(kind: type[ApiRecord]) -> st.SearchStrategy[tuple[type[ApiRecord], dict[str, Any]]]:
    """Return rows with arbitrary values in a few fields, except the ID."""
    names = st.sampled_from([field.encode_name for field in msgspec.structs.fields(kind) if not field.required])
    changes = st.dictionaries(names, st.just("") | json_values, max_size=2)
    return changes.map(lambda changed: (kind, {**FULL[kind], **changed}))


@settings(deadline=None, max_examples=150)
@given(kinds.filter(lambda kind: kind is not CreatedJob).flatmap(broken_rows))
def test_fast_and_lenient_decoding_are_equal(kind_and_row: tuple[type[ApiRecord], dict[str, Any]]) -> None:
    kind, row = kind_and_row
    alone = decode_page(kind, in_page(row))
    beside = decode_page(kind, in_page(row, None))
    # Compares the repr, because NaN is not equal to itself.
    assert (repr(alone.value.rows), (*alone.unexpected, LOST_ROW)) == (repr(beside.value.rows), beside.unexpected)


no_rows = json_values.filter(lambda value: not (isinstance(value, dict) and "id" in value))


@settings(deadline=None, max_examples=150)
@given(st.lists(no_rows | st.integers(0, 2**63 - 1).map(lambda number: {**FULL[Job], "id": number}), max_size=8))
def test_valid_rows_are_kept_among_invalid_ones(rows: list[Any]) -> None:
    good = [row["id"] for row in rows if isinstance(row, dict) and "id" in row]
    decoded = decode_page(Job, in_page(*rows))
    assert [job.id for job in decoded.value.rows] == good
    assert decoded.unexpected == (LOST_ROW,) * (len(rows) - len(good))


@settings(deadline=None, max_examples=300)
@given(kinds, st.binary() | json_values.map(lambda value: json.dumps({"data": value}).encode()))
def test_arbitrary_bytes_raise_only_malformed(kind: type[ApiRecord], body: bytes) -> None:
    for decode in (decode_object, decode_page):
        try:
            decode(kind, body)
        except MalformedAnswer as error:
            assert str(error).startswith("the response ")  # noqa: PT017 - the error is optional


def mutated_by(data: st.DataObject, body: bytes) -> bytes:
    """Replace a part of `body`."""
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(body))] * 2)))
    return body[:start] + data.draw(st.binary(max_size=12)) + body[min(end, start + 40) :]


@settings(deadline=None, max_examples=400)
@given(kinds, st.data())
def test_mutated_bodies_raise_only_malformed(kind: type[ApiRecord], data: st.DataObject) -> None:
    mutated = mutated_by(data, in_page(FULL[kind]))
    try:
        decoded = decode_page(kind, mutated)
    except MalformedAnswer:
        return
    msgspec.json.encode(decoded.value.rows)


@settings(deadline=None, max_examples=400)
@given(kinds, st.data())
def test_a_fingerprint_of_another_body_does_not_affect_decoding(kind: type[ApiRecord], data: st.DataObject) -> None:
    body = in_page(FULL[kind])
    before = decode_if_changed(kind, body, None).value
    assert before is not None
    mutated = mutated_by(data, body)
    try:
        expected = decode_page(kind, mutated)
    except MalformedAnswer:
        with pytest.raises(MalformedAnswer):
            decode_if_changed(kind, mutated, before.fingerprint)
        return
    decoded = decode_if_changed(kind, mutated, before.fingerprint)
    value = before.value if decoded.value is None else decoded.value.value
    assert Decoded(value, decoded.unexpected) == expected


@settings(deadline=None, max_examples=200)
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_load_json_object_returns_an_object_or_none(body: bytes) -> None:
    value = load_json_object(body)
    assert value is None or json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize("name", [b'"a"', b"5"])
def test_unchanged_data_are_not_decoded_again(name: bytes) -> None:
    data = b'"data": {"objectList": [{"id": 1, "name": ' + name + b'}], "total": 1}'
    body = b'{"requestId": "1", ' + data + b"}"
    decoded = decode_if_changed(Job, body, None)
    assert decoded.value is not None
    assert decoded.value.fingerprint is not None
    assert Decoded(decoded.value.value, decoded.unexpected) == decode_page(Job, body)
    known, again = decoded.value.fingerprint, b"{" + data + b', "requestId": "2"}'
    assert decode_if_changed(Job, again, known) == Decoded(None, decoded.unexpected)
    other = decode_if_changed(Job, b"{" + data.replace(name, b'"b"') + b"}", known).value
    assert other is not None
    assert other.value.rows[0].name == "b"
    assert other.fingerprint not in {None, decoded.value.fingerprint}


def test_a_fingerprint_has_a_limited_number_of_losses() -> None:
    for losses, is_known in ((MAX_CACHED_LOSSES, True), (MAX_CACHED_LOSSES + 1, False)):
        rows = b",".join([b"1"] * losses)
        decoded = decode_if_changed(Job, b'{"data": {"objectList": [' + rows + b'], "total": 0}}', None)
        assert decoded.unexpected == (LOST_ROW,) * losses
        assert decoded.value is not None
        assert (decoded.value.fingerprint is not None) is is_known


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data": 1}', b"[" * 100_000])
@pytest.mark.parametrize("before", [None, Fingerprint(1, ())])
def test_malformed_bodies_raise_with_and_without_fingerprint(before: Fingerprint | None, body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        decode_if_changed(Job, body, before)


def test_rows_without_pages_lose_only_what_is_broken() -> None:
    good = {"id": 1, "status": "DATA_FAILED", "createTime": "2024-12-17 15:44:00", "msg": " why\n"}
    body = json.dumps({"data": [good, {**good, "id": 2, "msg": 7}, "no row", {**good, "id": None}]}).encode()
    decoded = decode_rows(TaskLog, body)
    assert [(row.id, row.msg) for row in decoded.value] == [(1, "why"), (2, None)]
    assert decoded.unexpected == ("msg", LOST_ROW, LOST_ROW)


@pytest.mark.parametrize("data", [None, {}, "text", 7])
def test_rows_that_are_no_list_are_malformed(data: object) -> None:
    with pytest.raises(MalformedAnswer):
        decode_rows(TaskLog, json.dumps({"data": data}).encode())
