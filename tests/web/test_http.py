"""HTTP details over raw sockets: the exporter responds like Go's server and promhttp."""

import gzip
import ssl
from collections.abc import AsyncIterator

import pytest

from exporter.app.service import Service
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Simulator
from exporter.web.handlers import application
from tests.conftest import config_on
from tests.exposition_parser import read
from tests.harness import eventually
from tests.web.http_fixture import REFUSED, Certificates, RunningServer, ask, running_server
from tests.web.test_middleware import written
from tests.web.test_web_config_watcher import TLS

GZIP_MAGIC = b"\x1f\x8b"


@pytest.fixture
async def server(simulator: Simulator) -> AsyncIterator[RunningServer]:
    """Provide a server after its first refresh."""
    service = Service(Telemetry())
    await service.apply(config_on(simulator.url))
    await eventually(lambda: service.is_ready)
    async with running_server(app=application(service, "/metrics", None)) as running:
        yield running
    await service.close()


async def get(server: RunningServer, path: str, *headers: str, version: str = "1.1") -> tuple[str, bytes]:
    """Return the head and the body of a response."""
    lines = (f"GET {path} HTTP/{version}", "Connection: close", *headers, "", "")
    head, _, body = (await server.send("\r\n".join(lines).encode())).partition(b"\r\n\r\n")
    return head.decode(), body


@pytest.mark.parametrize("version", ["2.0", "0.9"])
async def test_other_versions_of_http_are_rejected(server: RunningServer, version: str) -> None:
    head, _ = await get(server, "/", "Host: x", version=version)
    assert head.split("\r\n")[0].endswith(" 505 HTTP Version Not Supported")
    assert "Server: mms-exporter" in head.split("\r\n")


@pytest.mark.parametrize(
    "hosts", [["a b"], ["a/b@c"], ["a<b"], ["ä"], ["a", "b"], []], ids=["space", "path", "<", "umlaut", "two", "none"]
)
async def test_an_invalid_host_is_rejected(server: RunningServer, hosts: list[str]) -> None:
    head, _ = await get(server, "/-/healthy", *(f"Host: {host}" for host in hosts))
    assert head.split()[1] == "400"


@pytest.mark.parametrize("host", ["", "x", "mms-exporter.example.com:10180", "[::1]:10180", "192.0.2.1", "a_b"])
async def test_a_valid_host_is_served(server: RunningServer, host: str) -> None:
    assert (await get(server, "/-/healthy", f"Host: {host}"))[0].startswith("HTTP/1.1 200 ")


async def test_http_1_0_needs_no_host(server: RunningServer) -> None:
    assert (await get(server, "/-/healthy", version="1.0"))[0].startswith("HTTP/1.0 200 ")


@pytest.mark.parametrize(
    ("lines", "is_gzip"),
    [
        (["deflate", "gzip"], True),
        (["identity;q=1, gzip;q=0.5"], False),
        (["identity;q=0.5, gzip;q=1"], True),
        (["gzip;q=0.5, *;q=1"], False),
        (["gzip, deflate"], True),
    ],
)
async def test_the_encoding_is_the_preferred_one_of_the_client(
    server: RunningServer,
    lines: list[str],
    is_gzip: bool,  # noqa: FBT001 - a case of the table
) -> None:
    for path in ("/metrics", "/", "/api/v1/status"):
        head, body = await get(server, path, "Host: x", *(f"Accept-Encoding: {line}" for line in lines))
        assert ("Content-Encoding: gzip" in head.title().replace("Gzip", "gzip")) == is_gzip
        assert body.startswith(GZIP_MAGIC) == is_gzip


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name[]=mms_up", {"mms_up"}),
        ("name%5B%5D=mms_up&name[]=mms_jobs", {"mms_up", "mms_jobs"}),
        ("name[]=mms_api_requests_total", {"mms_api_requests_total"}),
        ("name[]=mms_exporter_build_info&name[]=mms_up", {"mms_up", "mms_exporter_build_info"}),
        ("name[]=nothing", set()),
    ],
)
async def test_name_parameters_select_families(
    server: RunningServer, query: str, names: set[str], accept: str, encoding: str
) -> None:
    headers = ("Host: x", f"Accept: {accept}", f"Accept-Encoding: {encoding}")
    _, complete = await get(server, "/metrics", *headers)
    _, body = await get(server, f"/metrics?{query}", *headers)
    _, complete_after = await get(server, "/metrics", *headers)
    if encoding == "gzip":
        complete, body, complete_after = map(gzip.decompress, (complete, body, complete_after))
    assert body.endswith(b"# EOF\n") == (accept != "text/plain")
    selected = read(body).samples
    assert selected.keys() == names
    assert all(selected[name].keys() == read(complete).samples[name].keys() for name in names)
    assert read(complete_after).samples.keys() == read(complete).samples.keys()


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES256-SHA"])
async def test_no_cbc_cipher_is_served_by_default(certificates: Certificates, cipher: str) -> None:
    async with running_server(written(certificates.folder, TLS)) as running:
        for ciphers, outcome in ((cipher, REFUSED), (f"{cipher}:ECDHE-ECDSA-AES128-GCM-SHA256", 200)):
            context = certificates.client_context()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
            assert await ask(running.port, context) == outcome
