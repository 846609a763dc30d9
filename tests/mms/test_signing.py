"""The V3 signature against the vendor's implementation."""

import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TypedDict
from urllib.parse import parse_qsl

import pytest
from alibabacloud_tea_openapi.utils import Utils, get_canonical_query_string
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.mms.signing import (
    ALGORITHM,
    Credential,
    authorization,
    canonical_query,
    content_hash,
    is_signed,
    percent_encoded,
    signed_headers,
    string_to_sign,
)

UNRESERVED = string.ascii_letters + string.digits + "-_.~"
UNSIGNED = frozenset({"accept", "authorization"})

names = st.text(UNRESERVED, min_size=1)
"""The vendor's library does not encode parameter names; those of the API need no encoding."""
queries = st.dictionaries(names, st.text())
paths = st.lists(st.text(min_size=1).map(percent_encoded)).map(lambda parts: "/" + "/".join(parts))
tokens = st.none() | st.text(string.ascii_letters + string.digits + "+/=", min_size=1)
credentials = st.builds(Credential, st.text(UNRESERVED, min_size=1), st.text(), tokens)
dates = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(9998, 1, 1),  # noqa: DTZ001 - likewise
    timezones=st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours))),
)


class Request(TypedDict):
    """The parameters of `signed_headers` without the credential."""

    operation: str
    method: str
    host: str
    path: str
    query: str
    body: bytes | None
    now: datetime
    nonce: str


requests = st.builds(
    Request,
    operation=names,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    host=names.map("{}:8080".format),
    path=paths,
    query=st.just(""),
    body=st.none() | st.binary(),
    now=dates,
    nonce=names,
)
REQUEST = Request(
    operation="ListMmsJobs",
    method="GET",
    host="maxcompute.cn-shanghai.aliyuncs.com",
    path="/api/v1/mms/datasources/2000015/jobs",
    query="pageNum=1&status=DOING",
    body=None,
    now=datetime(2025, 9, 30, 12, 0, 5, tzinfo=UTC),
    nonce="0123456789abcdef",
)
CREDENTIAL = Credential("LTAI-EXAMPLE", "not-a-secret", "not-a-token")


def authorization_by_the_vendor(
    request: Request, query: Mapping[str, str], sent: Mapping[str, str], who: Credential
) -> str:
    asked = SimpleNamespace(
        method=request["method"],
        pathname=request["path"],
        query=query,
        headers={name: value for name, value in sent.items() if name not in UNSIGNED},
    )
    payload = content_hash(request["body"] or b"")
    made = Utils.get_authorization(  # type: ignore[no-untyped-call]  # the vendor's library is untyped
        asked, ALGORITHM, payload, who.access_key_id, who.access_key_secret
    )
    assert isinstance(made, str)
    return made


@settings(deadline=None, max_examples=300)
@given(requests, queries, credentials)
def test_authorization_equals_the_vendor_library(request: Request, query: dict[str, str], who: Credential) -> None:
    request["query"] = canonical_query(query.items())
    sent = signed_headers(who, **request)
    assert sent["authorization"] == authorization_by_the_vendor(request, query, sent, who)


@settings(deadline=None, max_examples=200)
@given(queries)
def test_canonical_query_equals_the_vendor_library(query: dict[str, str]) -> None:
    expected = get_canonical_query_string(query)  # type: ignore[no-untyped-call]  # the vendor's library is untyped
    assert canonical_query(query.items()) == expected


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_canonical_query_round_trips(query: dict[str, str]) -> None:
    assert parse_qsl(canonical_query(query.items()), keep_blank_values=True) == sorted(query.items())


def test_canonical_query_encodes_all_reserved_characters() -> None:
    assert canonical_query([("b", "a b/c*'~"), ("a", '["表"]')]) == "a=%5B%22%E8%A1%A8%22%5D&b=a%20b%2Fc%2A%27~"


def test_all_required_headers_are_sent_and_signed() -> None:
    sent = signed_headers(CREDENTIAL, **REQUEST)
    assert {name: sent[name] for name in sent if name != "authorization"} == {
        "accept": "application/json",
        "host": "maxcompute.cn-shanghai.aliyuncs.com",
        "x-acs-action": "ListMmsJobs",
        "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-acs-date": "2025-09-30T12:00:05Z",
        "x-acs-security-token": "not-a-token",
        "x-acs-signature-nonce": "0123456789abcdef",
        "x-acs-version": "2022-01-04",
    }
    signed = (
        "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version"
    )
    assert sent["authorization"].startswith(
        f"ACS3-HMAC-SHA256 Credential=LTAI-EXAMPLE,SignedHeaders={signed},Signature="
    )


def test_a_body_adds_its_hash_and_content_type() -> None:
    request: Request = {**REQUEST, "method": "POST", "body": b'{"name":"a"}'}
    sent = signed_headers(CREDENTIAL, **request)
    assert sent["content-type"] == "application/json; charset=utf-8"
    assert "SignedHeaders=content-type;host;" in sent["authorization"]
    assert sent["x-acs-content-sha256"] == content_hash(b'{"name":"a"}')


def test_there_is_no_token_header_without_token() -> None:
    sent = signed_headers(Credential("LTAI-EXAMPLE", "not-a-secret"), **REQUEST)
    assert "x-acs-security-token" not in sent
    assert "x-acs-security-token" not in sent["authorization"]


def test_the_date_is_sent_in_utc() -> None:
    request: Request = {**REQUEST, "now": REQUEST["now"].astimezone(timezone(timedelta(hours=8)))}
    assert signed_headers(CREDENTIAL, **request) == signed_headers(CREDENTIAL, **REQUEST)


OTHERS: list[Request] = [
    {**REQUEST, "operation": "ListMmsTables"},
    {**REQUEST, "method": "POST"},
    {**REQUEST, "host": "maxcompute.cn-beijing.aliyuncs.com"},
    {**REQUEST, "path": "/api/v1/mms/datasources/2000016/jobs"},
    {**REQUEST, "query": "pageNum=2&status=DOING"},
    {**REQUEST, "body": b"{}"},
    {**REQUEST, "now": REQUEST["now"] + timedelta(seconds=1)},
    {**REQUEST, "nonce": "0123456789abcdee"},
]


@pytest.mark.parametrize("other", OTHERS, ids=REQUEST)
def test_the_signature_covers_each_part_of_a_request(other: Request) -> None:
    made = {signed_headers(CREDENTIAL, **each)["authorization"].rpartition("=")[2] for each in (REQUEST, other)}
    assert len(made) == 2


@pytest.mark.parametrize(
    "other",
    [Credential("LTAI-EXAMPLE", "other", "not-a-token"), Credential("LTAI-EXAMPLE", "not-a-secret", "other")],
    ids=["secret", "token"],
)
def test_the_signature_covers_secret_and_token(other: Credential) -> None:
    made = {signed_headers(each, **REQUEST)["authorization"].rpartition("=")[2] for each in (CREDENTIAL, other)}
    assert len(made) == 2


def test_authorization_lists_the_signed_headers_in_order() -> None:
    text = string_to_sign("GET", "/", "", {"x-acs-date": "d", "host": "h"}, content_hash(b""))
    assert "SignedHeaders=host;x-acs-date," in authorization(CREDENTIAL, text, ["x-acs-date", "host"])


@pytest.mark.parametrize(
    ("name", "has_body", "is_so"),
    [
        ("host", False, True),
        ("x-acs-date", False, True),
        ("content-type", True, True),
        ("content-type", False, False),
        ("accept", True, False),
        ("authorization", True, False),
        ("user-agent", True, False),
    ],
)
def test_is_signed(name: str, *, has_body: bool, is_so: bool) -> None:
    assert is_signed(name, has_body=has_body) is is_so


def test_the_repr_of_a_credential_is_redacted() -> None:
    shown = f"{CREDENTIAL!r} {CREDENTIAL} {[CREDENTIAL]}"
    assert not any(part in shown for part in ("LTAI-EXAMPLE", "not-a-secret", "not-a-token"))
