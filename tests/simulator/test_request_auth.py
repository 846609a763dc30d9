"""Every check of a request has its own error code, and accepts correct requests."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from exporter.mms import signing
from exporter.simulator import Identity, Simulator

from .caller import CREDENTIAL, ROOT, Caller

SOURCE = "2000001"
LIST = "ListMmsDataSources"
STS = signing.Credential("STS.EXAMPLE", "not-a-secret-either", "token-example")


async def test_a_correct_request_is_accepted(caller: Caller) -> None:
    assert (await caller.get(LIST)).status == 200


async def test_an_error_has_the_vendors_form(caller: Caller) -> None:
    reply = await caller.send("GET", ROOT, {})
    assert set(reply.json) == {"Code", "Message", "RequestId", "HostId", "Recommend"}


@pytest.mark.parametrize(
    "name",
    ["x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"],
)
async def test_each_header_is_required(caller: Caller, name: str) -> None:
    assert (await caller.call(LIST, then={name: None})).code == (400, "MissingParameter")


@pytest.mark.parametrize("value", [None, "", "Bearer token", "acs LTAI-EXAMPLE:abc"])
async def test_a_malformed_authorization_is_incomplete(caller: Caller, value: str | None) -> None:
    assert (await caller.call(LIST, then={"authorization": value})).code == (400, "IncompleteSignature")


async def test_an_unknown_key_is_not_found(caller: Caller) -> None:
    stranger = signing.Credential("LTAI-STRANGER", "not-a-secret")
    assert (await caller.call(LIST, credential=stranger)).code == (404, "InvalidAccessKeyId.NotFound")


async def test_a_wrong_secret_does_not_match(caller: Caller) -> None:
    wrong = signing.Credential(CREDENTIAL.access_key_id, "wrong")
    assert (await caller.call(LIST, credential=wrong)).code == (400, "SignatureDoesNotMatch")


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


async def test_an_unsigned_vendor_header_is_rejected(caller: Caller) -> None:
    assert (await caller.call(LIST, then={"x-acs-extra": "1"})).code == (400, "IncompleteSignature")


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


async def test_a_body_with_a_wrong_hash_is_rejected(caller: Caller) -> None:
    reply = await caller.call(LIST, then={"x-acs-content-sha256": "0" * 64})
    assert reply.code == (400, "InvalidParameter.ContentSha256")


async def test_a_wrong_version_is_rejected(caller: Caller) -> None:
    assert (await caller.call(LIST, then={"x-acs-version": "2014-08-15"})).code == (400, "InvalidVersion")


@pytest.mark.parametrize("minutes", [-16, 16])
async def test_a_large_clock_skew_is_rejected(caller: Caller, minutes: int) -> None:
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    assert (await caller.call(LIST, now=now)).code == (400, "InvalidTimeStamp.Expired")


@pytest.mark.parametrize("minutes", [-14, 14])
async def test_a_small_clock_skew_is_accepted(caller: Caller, minutes: int) -> None:
    assert (await caller.call(LIST, now=datetime.now(UTC) + timedelta(minutes=minutes))).status == 200


async def test_a_malformed_date_is_rejected(caller: Caller) -> None:
    reply = await caller.call(LIST, then={"x-acs-date": "Fri, 20 Nov 2026 16:48:40 GMT"})
    assert reply.code == (400, "InvalidTimeStamp.Format")


async def test_a_nonce_is_accepted_once(caller: Caller) -> None:
    assert (await caller.call(LIST, nonce="same")).status == 200
    assert (await caller.call(LIST, nonce="same")).code == (400, "SignatureNonceUsed")


async def test_a_rejected_signature_does_not_consume_its_nonce(caller: Caller) -> None:
    wrong = signing.Credential(CREDENTIAL.access_key_id, "wrong")
    await caller.call(LIST, nonce="same", credential=wrong)
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


async def test_a_token_for_a_permanent_key_is_rejected(caller: Caller) -> None:
    credential = signing.Credential(CREDENTIAL.access_key_id, CREDENTIAL.access_key_secret, "token-example")
    reply = await caller.call(LIST, credential=credential)
    assert reply.code == (400, "InvalidSecurityToken.MismatchWithAccessKey")


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
