"""The client on the wire: its requests, broken servers and cancelled calls."""

import asyncio
import gzip
import ssl
import zlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exporter import __version__
from exporter.errors import AnswerTooLarge, ConnectionFailed, MalformedAnswer
from exporter.mms.client import Client
from exporter.mms.protocol import JobFilter, JobRequest
from exporter.mms.throttle import Limits
from exporter.mms.transport import MAX_RESPONSE_BYTES
from exporter.simulator import Fault, Simulator
from tests.mms.conftest import MakeClient, RecordingObserver, Serve, answering, sample, speaking

SOURCE = 2_000_001
TABLE = sample("GetMmsTable")

Received = tuple[Client, list[web.Request]]


@pytest.fixture
async def received(serve: Serve, client_on: MakeClient) -> Received:
    """Return a client and the requests that its server received."""
    requests: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        requests.append(request)
        return web.Response(body=TABLE)

    return client_on(await serve(answer)), requests


async def test_query_parameters_are_sent_as_signed(received: Received) -> None:
    client, requests = received
    with pytest.raises(MalformedAnswer):
        await client.list_jobs(SOURCE, JobFilter(name="a b+c%/表~*", src_db_name="x&y=z#"))
    assert requests[0].raw_path == (
        "/api/v1/mms/datasources/2000001/jobs"
        "?name=a%20b%2Bc%25%2F%E8%A1%A8~%2A&pageNum=1&pageSize=100&srcDbName=x%26y%3Dz%23"
    )


async def test_requests_have_user_agent_and_accept_headers(received: Received) -> None:
    client, requests = received
    await client.get_table(SOURCE, 22)
    headers = requests[0].headers
    assert headers["User-Agent"] == f"mms-exporter/{__version__}"
    assert headers["Accept"] == "application/json"
    assert "gzip" in headers["Accept-Encoding"]
    assert headers["Host"] == requests[0].host
    assert len(headers.getall("Host")) == 1


async def test_nonces_are_unique(received: Received) -> None:
    client, requests = received
    await asyncio.gather(*(client.get_table(SOURCE, 22) for _ in range(20)))
    assert len({request.headers["x-acs-signature-nonce"] for request in requests}) == 20


async def test_create_job_sends_its_body(received: Received) -> None:
    client, requests = received
    with pytest.raises(MalformedAnswer):
        await client.create_job(SOURCE, JobRequest(name="表"))
    assert await requests[0].json() == {"sourceId": SOURCE, "name": "表"}
    assert requests[0].headers["Content-Type"] == "application/json; charset=utf-8"


async def test_cookies_are_ignored(serve: Serve, client_on: MakeClient) -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie"))
        return web.Response(body=TABLE, headers={"Set-Cookie": "a=b; Path=/"})

    # By name: no browser, and no library, keeps cookies of an address.
    client = client_on((await serve(answer)).replace("127.0.0.1", "localhost"))
    for _ in range(2):
        await client.get_table(SOURCE, 22)
    assert seen == [None, None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    simulator: Simulator, client: Client, received: Received, status: int
) -> None:
    """A signature for one host must not reach another host."""
    other, requests = received
    await other.get_table(SOURCE, 1)
    elsewhere = str(requests.pop().url)
    simulator.faults.add(Fault(kind="redirect", url=elsewhere, status=status))
    with pytest.raises(MalformedAnswer) as caught:
        await client.get_table(SOURCE, 1)
    assert caught.value.status == status
    assert requests == []


@pytest.mark.parametrize(
    ("encoding", "body"), [("gzip", gzip.compress(TABLE)), ("deflate", zlib.compress(TABLE)), ("identity", TABLE)]
)
async def test_a_compressed_response_is_decoded(
    serve: Serve, client_on: MakeClient, encoding: str, body: bytes
) -> None:
    client = client_on(await serve(answering(body, Content_Encoding=encoding)))
    assert (await client.get_table(SOURCE, 22)).id == 22


async def test_the_size_limit_applies_after_decompression(
    serve: Serve, client_on: MakeClient, observer: RecordingObserver
) -> None:
    bomb = gzip.compress(b" " * (4 * MAX_RESPONSE_BYTES), 1)
    assert len(bomb) < MAX_RESPONSE_BYTES / 50
    client = client_on(await serve(answering(bomb, Content_Encoding="gzip")))
    with pytest.raises(AnswerTooLarge, match=r"larger than 8 MiB"):
        await client.get_table(SOURCE, 22)
    assert observer.reasons == ["too_large"]


async def test_a_wrong_content_encoding_is_malformed(serve: Serve, client_on: MakeClient) -> None:
    with pytest.raises(MalformedAnswer):
        await client_on(await serve(answering(b"no gzip", Content_Encoding="gzip"))).get_table(SOURCE, 22)


NO_HTTP = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "broken status": b"HTTP/1.1 abc OK\r\n\r\n",
    "broken chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "header without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
}
CUT = {
    "at once": b"",
    "in a header": b"HTTP/1.1 200 OK\r\nContent-",
    "before the body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
}


@pytest.mark.parametrize("text", NO_HTTP.values(), ids=NO_HTTP)
async def test_invalid_http_is_malformed(serve_raw: Serve, client_on: MakeClient, text: bytes) -> None:
    with pytest.raises(MalformedAnswer, match="is not valid HTTP"):
        await client_on(f"http://{await serve_raw(speaking(text))}").get_table(SOURCE, 22)


@pytest.mark.parametrize("text", CUT.values(), ids=CUT)
async def test_an_aborted_connection_raises_connection_failed(
    serve_raw: Serve, client_on: MakeClient, text: bytes
) -> None:
    address = await serve_raw(speaking(text))
    with pytest.raises(ConnectionFailed, match=f"the connection to {address} was closed"):
        await client_on(f"http://{address}").get_table(SOURCE, 22)


async def test_a_refused_connection_raises_connection_failed(
    client_on: MakeClient, observer: RecordingObserver
) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectionFailed, match=f"cannot connect to 127.0.0.1:{port}: [^N]"):
        await client_on(f"http://127.0.0.1:{port}").get_table(SOURCE, 22)
    assert observer.reasons == ["connection"] * 4


@pytest.mark.parametrize("host", ["mms.invalid", f"maxcompute.{'a' * 70}.invalid", "a..invalid"])
async def test_an_unknown_host_name_raises_connection_failed(
    client_on: MakeClient, observer: RecordingObserver, host: str
) -> None:
    with pytest.raises(ConnectionFailed, match=f"the name {host} cannot be resolved"):
        await client_on(f"http://{host}").get_table(SOURCE, 22)
    assert set(observer.reasons) == {"connection"}


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """Return a server TLS context with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "server.pem"
    path.write_bytes(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def test_a_self_signed_certificate_is_rejected(
    serve_raw: Serve, client_on: MakeClient, observer: RecordingObserver, self_signed: ssl.SSLContext
) -> None:
    heard: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    address = await serve_raw(connected, ssl=self_signed)
    with pytest.raises(ConnectionFailed, match=f"the TLS connection to {address} failed"):
        await client_on(f"https://{address}").get_table(SOURCE, 22)
    assert observer.reasons == ["connection"] * 4
    assert not any(heard)


async def test_a_server_without_tls_raises_connection_failed(serve_raw: Serve, client_on: MakeClient) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    address = await serve_raw(connected)
    with pytest.raises(ConnectionFailed, match=f"the TLS connection to {address} failed"):
        await client_on(f"https://{address}").get_table(SOURCE, 22)


async def until_applied(simulator: Simulator, number: int) -> None:
    """Wait until the fault was applied; the simulator has no event for it."""
    async with asyncio.timeout(10):
        while not simulator.faults.happened(number):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)


async def test_the_client_works_after_a_cancelled_call(simulator: Simulator, client: Client) -> None:
    number = simulator.faults.add(Fault(kind="hang"))
    call = asyncio.create_task(client.get_table(SOURCE, 1))
    await until_applied(simulator, number)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    simulator.faults.clear()
    assert (await client.get_table(SOURCE, 1)).id == 1


async def test_a_cancelled_call_releases_its_slot(simulator: Simulator, client_on: MakeClient) -> None:
    client = client_on(simulator.url, limits=Limits(requests_per_second=0, concurrency=1))
    number = simulator.faults.add(Fault(kind="hang", times=1))
    calls = [asyncio.create_task(client.get_table(SOURCE, 1)) for _ in range(3)]
    await until_applied(simulator, number)
    calls[0].cancel()
    async with asyncio.timeout(10):
        assert [table.id for table in await asyncio.gather(*calls[1:])] == [1, 1]


async def test_close_leaks_no_connection_and_no_task(serve_raw: Serve, client_on: MakeClient) -> None:
    ended = [asyncio.Event() for _ in range(3)]
    left = list(ended)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = left.pop()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(TABLE), TABLE))
        assert await reader.read() == b""
        mine.set()

    before = asyncio.all_tasks()
    client = client_on(f"http://{await serve_raw(connected)}")
    await asyncio.gather(*(client.get_table(SOURCE, 22) for _ in ended))
    assert not any(event.is_set() for event in ended), "connections are kept until the client is closed"
    await client.close()
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in ended)), 30)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
