"""Every check of a request has its own error code, and accepts correct requests."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exporter.mms import signing
from exporter.simulator import Identity, Simulator

from .caller import CREDENTIAL, ROOT, Caller

SOURCE = "2000001"
LIST = "ListMmsDataSources"
WRONG = signing.Credential(CREDENTIAL.access_key_id, "wrong")
STS = signing.Credential("STS.EXAMPLE", "not-a-secret-either", "token-example")


async def test_an_error_has_the_vendors_form(caller: Caller) -> None:
    reply = await caller.send("GET", ROOT, {})
    assert set(reply.json) == {"Code", "Message", "RequestId", "HostId", "Recommend"}


def _at(minutes: float) -> dict[str, Any]:
    return {"now": datetime.now(UTC) + timedelta(minutes=minutes)}


REJECTED: list[tuple[dict[str, Any], tuple[int, str]]] = [
    *(
        ({"then": {f"x-acs-{name}": None}}, (400, "MissingParameter"))
        for name in ("action", "content-sha256", "date", "signature-nonce", "version")
    ),
    *(
        ({"then": {"authorization": value}}, (400, "IncompleteSignature"))
        for value in (None, "", "Bearer token", "acs LTAI-EXAMPLE:abc")
    ),
    ({"credential": signing.Credential("LTAI-STRANGER", "not-a-secret")}, (404, "InvalidAccessKeyId.NotFound")),
    ({"credential": WRONG}, (400, "SignatureDoesNotMatch")),
    (
        {"credential": signing.Credential(CREDENTIAL.access_key_id, CREDENTIAL.access_key_secret, "token-example")},
        (400, "InvalidSecurityToken.MismatchWithAccessKey"),
    ),
    ({"then": {"x-acs-extra": "1"}}, (400, "IncompleteSignature")),
    ({"then": {"x-acs-content-sha256": "0" * 64}}, (400, "InvalidParameter.ContentSha256")),
    ({"then": {"x-acs-version": "2014-08-15"}}, (400, "InvalidVersion")),
    ({"then": {"x-acs-date": "Fri, 20 Nov 2026 16:48:40 GMT"}}, (400, "InvalidTimeStamp.Format")),
]


@pytest.mark.parametrize(("wrong", "code"), REJECTED)
async def test_each_mistake_in_a_request_has_its_code(
    caller: Caller, wrong: dict[str, Any], code: tuple[int, str]
) -> None:
    assert (await caller.call(LIST, **wrong)).code == code


@pytest.mark.parametrize("minutes", [-16, 16])
async def test_a_large_clock_skew_is_rejected(caller: Caller, minutes: int) -> None:
    assert (await caller.call(LIST, **_at(minutes))).code == (400, "InvalidTimeStamp.Expired")


@pytest.mark.parametrize("minutes", [-14, 0, 14])
async def test_a_correct_request_is_accepted_with_a_small_clock_skew(caller: Caller, minutes: int) -> None:
    assert (await caller.call(LIST, **_at(minutes))).status == 200


async def test_a_changed_query_does_not_match(caller: Caller) -> None:
    signed = await caller.call(LIST, query={"name": "a"}, nonce="one")
    assert signed.status == 200
    headers = signing.signed_headers(
        CREDENTIAL,
        operation=LIST,
        method="GET",
        host=caller.url.removeprefix("http://"),
        path=ROOT,
        query="name=a",
        body=None,
        now=datetime.now(UTC),
        nonce="two",
    )
    assert (await caller.send("GET", f"{ROOT}?name=b", headers)).code == (400, "SignatureDoesNotMatch")


async def test_an_unsigned_content_type_of_a_body_is_rejected(caller: Caller) -> None:
    headers = signing.signed_headers(
        CREDENTIAL,
        operation="CreateMmsJob",
        method="POST",
        host=caller.url.removeprefix("http://"),
        path=f"{ROOT}/{SOURCE}/jobs",
        query="",
        body=b"{}",
        now=datetime.now(UTC),
        nonce="one",
    )
    headers["authorization"] = headers["authorization"].replace("content-type;", "")
    reply = await caller.send("POST", f"{ROOT}/{SOURCE}/jobs", headers, b"{}")
    assert reply.code == (400, "IncompleteSignature")


async def test_a_nonce_is_accepted_once(caller: Caller) -> None:
    assert (await caller.call(LIST, nonce="same")).status == 200
    assert (await caller.call(LIST, nonce="same")).code == (400, "SignatureNonceUsed")


async def test_a_rejected_signature_does_not_consume_its_nonce(caller: Caller) -> None:
    await caller.call(LIST, nonce="same", credential=WRONG)
    assert (await caller.call(LIST, nonce="same")).status == 200


@pytest.mark.parametrize("action", ["ListMmsJobs", "Nonsense", ""])
async def test_an_action_that_does_not_match_the_path_is_rejected(caller: Caller, action: str) -> None:
    assert (await caller.call(action)).code == (404, "InvalidAction.NotFound")


async def test_an_unknown_path_is_rejected(caller: Caller) -> None:
    assert (await caller.get(LIST, "/1/2/3")).code == (404, "InvalidAction.NotFound")


async def test_undecodable_bytes_are_rejected(simulator: Simulator) -> None:
    host, _, port = simulator.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET {ROOT} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n".encode()
    writer.write(head + b"x-acs-signature-nonce: \xff\xfe\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"not valid UTF-8" in answer


async def test_a_temporary_identity_is_accepted_with_its_token(caller: Caller, simulator: Simulator) -> None:
    simulator.identities.add(Identity("STS.EXAMPLE", "not-a-secret-either", "token-example"))
    assert (await caller.call(LIST, credential=STS)).status == 200


@pytest.mark.parametrize(
    ("token", "code"),
    [(None, "MissingSecurityToken"), ("another", "InvalidSecurityToken.Malformed")],
)
async def test_a_temporary_identity_needs_its_token(
    caller: Caller, simulator: Simulator, token: str | None, code: str
) -> None:
    simulator.identities.add(Identity("STS.EXAMPLE", "not-a-secret-either", "token-example"))
    credential = signing.Credential("STS.EXAMPLE", "not-a-secret-either", token)
    assert (await caller.call(LIST, credential=credential)).code == (400, code)


async def test_a_token_expires_at_run_time(caller: Caller, simulator: Simulator) -> None:
    simulator.identities.add(Identity("STS.EXAMPLE", "not-a-secret-either", "token-example", expires=2e10))
    assert (await caller.call(LIST, credential=STS)).status == 200
    simulator.identities.expire("STS.EXAMPLE")
    assert (await caller.call(LIST, credential=STS)).code == (400, "InvalidSecurityToken.Expired")


async def test_a_secret_is_rotated_at_run_time(caller: Caller, simulator: Simulator) -> None:
    simulator.identities.add(Identity("LTAI-EXAMPLE", "rotated"))
    assert (await caller.get(LIST)).code == (400, "SignatureDoesNotMatch")
    rotated = signing.Credential("LTAI-EXAMPLE", "rotated")
    assert (await caller.call(LIST, credential=rotated)).status == 200


async def test_an_identity_is_removed_at_run_time(caller: Caller, simulator: Simulator) -> None:
    simulator.identities.remove("LTAI-EXAMPLE")
    assert (await caller.get(LIST)).code == (404, "InvalidAccessKeyId.NotFound")


async def test_an_identity_has_only_its_granted_permissions(caller: Caller, simulator: Simulator) -> None:
    actions = frozenset({"odps:ListMmsDataSources", f"odps:ListMmsJobs:{SOURCE}"})
    simulator.identities.add(Identity("LTAI-EXAMPLE", "not-a-secret", actions=actions))
    assert (await caller.get(LIST)).status == 200
    assert (await caller.get("ListMmsJobs", f"/{SOURCE}/jobs")).status == 200
    assert (await caller.get("ListMmsJobs", "/2000002/jobs")).code == (403, "NoPermission")
    assert (await caller.get("ListMmsTables", f"/{SOURCE}/tables")).code == (403, "NoPermission")


async def test_lower_case_keys_are_an_option(caller: Caller, simulator: Simulator) -> None:
    simulator.lower_case_errors = True
    reply = await caller.send("GET", ROOT, {})
    assert set(reply.json) == {"code", "message", "requestId", "hostId", "recommend"}


async def test_rejected_requests_are_counted_too(caller: Caller, simulator: Simulator) -> None:
    await caller.call(LIST, nonce="same")
    await caller.call(LIST, nonce="same")
    assert simulator.calls == {(LIST, None): 2}
    simulator.calls_reset()
    assert not simulator.calls
