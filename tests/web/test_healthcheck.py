"""The health check of `mms-exporter probe`, over real sockets."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from exporter.cli.healthcheck import unhealthy_reason
from exporter.config.network import ListenAddress
from exporter.simulator import Simulator
from tests.processes import run, serving, write_config
from tests.web.http_fixture import Certificates, running_server
from tests.web.test_middleware import DAVE

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"
REQUIRED = f"{TLS}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients_ca.pem"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def reason_of(address: ListenAddress) -> str | None:
    return await asyncio.to_thread(unhealthy_reason, address)


@asynccontextmanager
async def responding(response: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[ListenAddress]:
    """Provide the address of a server that responds with these bytes."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(response)
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0, ssl=tls) as server:
        yield ListenAddress("127.0.0.1", server.sockets[0].getsockname()[1])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Provide a certificate authority."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """Provide the TLS context of a server whose certificate has another name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("exporter.example").configure_cert(context)
    return context


async def test_a_running_exporter_is_healthy(simulator: Simulator, tmp_path: Path) -> None:
    async with serving(f"--config.file={write_config(tmp_path, simulator.url)}") as running:
        ended = await run("probe", f"--web.listen-address={running.urls[0].removeprefix('http://')}")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


async def test_without_a_listener_probe_exits_1_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ended = await run("probe", f"--web.listen-address=:{port}")
    assert (ended.code, ended.err) == (1, f"mms-exporter: :{port} does not respond: Connection refused\n")


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"403 Forbidden"])
async def test_a_server_that_requires_a_login_is_healthy(status: bytes) -> None:
    async with responding(OK.replace(b"200 OK", status)) as address:
        assert await reason_of(address) is None


async def test_a_server_that_returns_503_is_unhealthy() -> None:
    async with responding(OK.replace(b"200 OK", b"503 Service Unavailable")) as address:
        assert await reason_of(address) == "/-/healthy returned status 503"


async def test_a_server_that_disconnects_is_unhealthy() -> None:
    async with responding(b"") as address:
        assert await reason_of(address) == f"{address} responds with neither HTTP nor TLS"


async def test_a_server_of_another_protocol_is_unhealthy() -> None:
    async with responding(b"220 mail.example ESMTP\r\n") as address:
        assert await reason_of(address) == f"{address} responds with neither HTTP nor TLS"


async def test_a_certificate_for_any_name_is_accepted(tls: ssl.SSLContext) -> None:
    async with responding(OK, tls) as address:
        assert await reason_of(address) is None


async def test_a_server_that_requires_a_client_certificate_is_healthy(
    tls: ssl.SSLContext, authority: trustme.CA
) -> None:
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(tls)
    async with responding(OK, tls) as address:
        assert await reason_of(address) is None


@pytest.mark.parametrize(
    "settings",
    [
        f"{TLS}}}",
        f"basic_auth_users: {{dave: {DAVE}}}",
        f"{TLS}}}\nbasic_auth_users: {{dave: {DAVE}}}",
        f"{REQUIRED}}}",
        f"{REQUIRED}, max_version: TLS12}}",
        f"{TLS}, client_auth_type: VerifyClientCertIfGiven, client_ca_file: clients_ca.pem, client_allowed_sans: [a]}}",
        "rate_limit: {interval: 1s, burst: 0}",
    ],
    ids=["tls", "users", "tls_and_users", "certificates", "certificates_tls12", "names", "rate"],
)
async def test_an_exporter_is_healthy_with_any_web_configuration(settings: str, certificates: Certificates) -> None:
    (certificates.folder / "web.yml").write_text(settings, encoding="utf-8")
    async with running_server(certificates.folder / "web.yml") as server:
        assert await reason_of(ListenAddress("127.0.0.1", server.port)) is None
