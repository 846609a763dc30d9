"""Errors, records and logs contain no secret, neither ours nor one quoted by MMS."""

import logging
import traceback

import msgspec
import pytest
from aiohttp import web

from exporter.errors import MmsError
from exporter.mms.protocol import JobRequest
from exporter.mms.signing import Credential
from exporter.simulator import Fault, Identity, Simulator
from exporter.simulator.faults.response_faults import error_answer
from tests.mms.conftest import MakeClient, RecordingObserver, Serve, answering, sample, speaking
from tests.mms.test_faults import FAILING, name_of
from tests.mms.test_wire import CUT, NO_HTTP

SOURCE = 2_000_001
CANARY = "canary7f3a"
CREDENTIAL = Credential("LTAI-EXAMPLE", f"secret-{CANARY}", f"token-{CANARY}")
IDENTITY = Identity(CREDENTIAL.access_key_id, CREDENTIAL.access_key_secret, CREDENTIAL.security_token)
SENT = ("authorization", "Signature=", CANARY)
"""Texts that show that a request was quoted."""


def full_text(error: BaseException) -> str:
    """Return everything that a log could contain about an error, causes included."""
    texts = [*traceback.format_exception(error)]
    link: BaseException | None = error
    while link is not None:
        texts += (str(link), repr(link), repr(vars(link)) if isinstance(link, MmsError) else "")
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\n".join(texts)


def assert_no_secret(error: MmsError, observer: RecordingObserver, caplog: pytest.LogCaptureFixture) -> None:
    everything = f"{full_text(error)}\n{vars(observer)}\n{caplog.text}"
    assert [word for word in SENT if word.lower() in everything.lower()] == []


@pytest.mark.parametrize("fault", [fault for fault, *_ in FAILING], ids=name_of)
async def test_no_fault_discloses_a_secret(
    simulator: Simulator,
    client_on: MakeClient,
    observer: RecordingObserver,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
) -> None:
    caplog.set_level(logging.DEBUG)
    simulator.identities.add(IDENTITY)
    text = fault.text or CANARY
    simulator.faults.add(msgspec.structs.replace(fault, message=f"password {CANARY}", text=text))
    with pytest.raises(MmsError) as caught:
        await client_on(simulator.url, credentials=CREDENTIAL).list_jobs(SOURCE)
    assert_no_secret(caught.value, observer, caplog)


@pytest.mark.parametrize("text", [*NO_HTTP.values(), *CUT.values()], ids=[*NO_HTTP, *CUT])
async def test_no_broken_connection_discloses_a_secret(
    serve_raw: Serve, client_on: MakeClient, observer: RecordingObserver, caplog: pytest.LogCaptureFixture, text: bytes
) -> None:
    address = await serve_raw(speaking(text))
    with pytest.raises(MmsError) as caught:
        await client_on(f"http://{address}", credentials=CREDENTIAL).list_jobs(SOURCE)
    assert_no_secret(caught.value, observer, caplog)


@pytest.mark.parametrize("status", [200, 400, 403, 500])
async def test_request_headers_quoted_by_mms_are_not_disclosed(
    serve: Serve, client_on: MakeClient, observer: RecordingObserver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """For a wrong signature, MMS returns the string to sign, which contains the token."""

    async def quote(request: web.Request) -> web.Response:
        answer = error_answer(status, "SignatureDoesNotMatch", str(dict(request.headers)), CANARY * 8)
        return web.Response(status=status, body=answer.body)

    with pytest.raises(MmsError) as caught:
        await client_on(await serve(quote), credentials=CREDENTIAL).list_jobs(SOURCE)
    assert_no_secret(caught.value, observer, caplog)


async def test_the_config_of_a_source_is_not_decoded(serve: Serve, client_on: MakeClient) -> None:
    body = sample("ListMmsDataSources").replace(b'"Partition\\n"', b'"password-canary7f3a"')
    assert CANARY.encode() in body
    listing = await client_on(await serve(answering(body))).list_data_sources()
    assert listing.rows[0].name == "demo"
    assert CANARY not in repr(listing)
    assert CANARY.encode() not in msgspec.json.encode(listing.rows)


async def test_the_request_body_is_not_quoted_in_an_error(simulator: Simulator, client_on: MakeClient) -> None:
    request = JobRequest(name=CANARY, others={"password": CANARY})
    with pytest.raises(MmsError) as caught:
        await client_on(simulator.url).create_job(SOURCE, request)
    assert CANARY not in full_text(caught.value)
