"""`mms-exporter probe`: what it takes for a healthy exporter, asked over real sockets."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from exporter.cli.healthcheck import unhealthy_reason
from exporter.simulator import Simulator
from exporter.web.addresses import ListenAddress
from tests.processes import run, serving, write_config
from tests.web.http_fixture import Certificates, running_server
from tests.web.test_middleware import DAVE

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"
DEMANDING = f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients_ca.pem"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def ailment_of(address: ListenAddress) -> str | None:
    return await asyncio.to_thread(unhealthy_reason, address)


@asynccontextmanager
async def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[ListenAddress]:
    """Provide the address of a server that answers every request with these bytes."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0, ssl=tls) as server:
        yield ListenAddress("127.0.0.1", server.sockets[0].getsockname()[1])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Provide who signs certificates."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """Provide the TLS of a server whose certificate is for another name than the probe asks for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("exporter.example").configure_cert(context)
    return context


async def test_an_exporter_that_runs_is_well(simulator: Simulator, tmp_path: Path) -> None:
    async with serving(f"--config.file={write_config(tmp_path, simulator.url)}") as running:
        ended = await run("probe", f"--web.listen-address={running.urls[0].removeprefix('http://')}")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


async def test_where_nobody_listens_it_says_so_and_exits_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ended = await run("probe", f"--web.listen-address=:{port}")
    assert (ended.code, ended.err) == (1, f"mms-exporter: :{port} does not respond: Connection refused\n")


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
async def test_who_asks_for_a_password_runs(status: bytes) -> None:
    async with answering(OK.replace(b"200 OK", status)) as address:
        assert await ailment_of(address) is None


async def test_who_says_that_a_task_has_ended_is_not_well() -> None:
    async with answering(OK.replace(b"200 OK", b"503 Service Unavailable")) as address:
        assert await ailment_of(address) == "/-/healthy returned status 503"


async def test_who_hangs_up_is_not_well() -> None:
    async with answering(b"") as address:
        assert await ailment_of(address) == f"{address} responds with neither HTTP nor TLS"


async def test_who_speaks_another_protocol_is_not_well() -> None:
    async with answering(b"220 mail.example ESMTP\r\n") as address:
        assert await ailment_of(address) == f"{address} responds with neither HTTP nor TLS"


async def test_a_certificate_of_any_name_will_do(tls: ssl.SSLContext) -> None:
    async with answering(OK, tls) as address:
        assert await ailment_of(address) is None


async def test_who_asks_for_a_certificate_runs(tls: ssl.SSLContext, authority: trustme.CA) -> None:
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    async with answering(OK, tls) as address:
        assert await ailment_of(address) is None


@pytest.mark.parametrize(
    "settings",
    [
        f"{TLS}}}",
        f"basic_auth_users: {{dave: {DAVE}}}",
        f"{TLS}}}\nbasic_auth_users: {{dave: {DAVE}}}",
        f"{DEMANDING}}}",
        f"{DEMANDING}, max_version: TLS12}}",
        f"{TLS}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: clients_ca.pem, client_allowed_sans: [a]}}",
        "rate_limit: {interval: 1s, burst: 0}",
    ],
    ids=["tls", "users", "tls_and_users", "certificates", "certificates_tls12", "names", "rate"],
)
async def test_an_exporter_is_well_whatever_its_web_configuration_asks_of_clients(
    settings: str, certificates: Certificates
) -> None:
    (certificates.folder / "web.yml").write_text(settings, encoding="utf-8")
    async with running_server(certificates.folder / "web.yml") as standing:
        assert await ailment_of(ListenAddress("127.0.0.1", standing.port)) is None
