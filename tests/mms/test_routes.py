"""Proxies and private CAs: successful requests and error messages."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from exporter.clock import Clock
from exporter.config.loading import config_from
from exporter.errors import ConfigError, ConnectionFailed
from exporter.mms.client import Client, create_client
from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.connect_proxy import proxying
from tests.harness import no_sleep
from tests.mms.conftest import CREDENTIAL, RecordingObserver

HOST = "mms.example.com"
"""A host name that only the proxy can resolve."""
PLACE = f"{HOST}:443"
CANARY = "canary7f3a"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a private certificate authority."""
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    """Return a CA bundle with a comment."""
    file = tmp_path / "ca.pem"
    file.write_bytes("# Főtanúsítvány\n".encode() + authority.cert_pem.bytes())
    return str(file)


@pytest.fixture
async def mms(authority: trustme.CA) -> AsyncIterator[Simulator]:
    """Provide a simulated MMS over TLS, under HOST and localhost."""
    simulator = Simulator(World(WorldOptions(sources=3), clock=ManualClock()))
    await simulator.start(tls=server_side(authority, HOST, "localhost"))
    yield simulator
    await simulator.stop()


def server_side(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def port_of(simulator: Simulator) -> int:
    return int(simulator.url.rpartition(":")[2])


def client_with(observer: RecordingObserver, **settings: object) -> Client:
    """Return a client of an account with `settings`."""
    credentials = {"type": "access_key", "access_key_id": CREDENTIAL.access_key_id}
    credentials |= {"access_key_secret": CREDENTIAL.access_key_secret}
    account = {"name": "a", "region": "cn-shanghai", "endpoint": f"https://{HOST}", "credentials": credentials}
    return create_client(
        config_from({"accounts": [{**account, **settings}]}).accounts[0], observer, Clock(sleep=no_sleep)
    )


async def sources_of(client: Client) -> int:
    """Return the number of listed data sources, and close the client."""
    async with client:
        return len((await client.list_data_sources()).rows)


async def refusal_of(client: Client) -> ConnectionFailed:
    """Return the error of a list call, and close the client."""
    async with client:
        with pytest.raises(ConnectionFailed) as caught:
            await client.list_data_sources()
    return caught.value


async def test_ca_file_adds_a_private_ca(mms: Simulator, bundle: str, observer: RecordingObserver) -> None:
    endpoint = f"https://localhost:{port_of(mms)}"
    assert await sources_of(client_with(observer, endpoint=endpoint, ca_file=bundle)) == 3


async def test_the_error_without_ca_file_names_ca_file(mms: Simulator, observer: RecordingObserver) -> None:
    refusal = await refusal_of(client_with(observer, endpoint=f"https://localhost:{port_of(mms)}"))
    assert "the TLS connection to localhost" in str(refusal)
    assert "unable to get local issuer certificate" in str(refusal)
    assert "ca_file" in refusal.hint


async def test_ca_file_replaces_the_system_cas(mms: Simulator, tmp_path: Path, observer: RecordingObserver) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    refusal = await refusal_of(client_with(observer, endpoint=f"https://localhost:{port_of(mms)}", ca_file=str(other)))
    assert "ca_file" in refusal.hint


async def test_a_certificate_for_another_host_is_rejected(
    mms: Simulator, bundle: str, observer: RecordingObserver
) -> None:
    refusal = await refusal_of(client_with(observer, endpoint=f"https://127.0.0.1:{port_of(mms)}", ca_file=bundle))
    assert "certificate is not valid for '127.0.0.1'" in str(refusal)


async def test_requests_use_the_proxy(mms: Simulator, bundle: str, observer: RecordingObserver) -> None:
    async with proxying({PLACE: port_of(mms)}) as proxy:
        assert await sources_of(client_with(observer, ca_file=bundle, proxy={"url": proxy.url})) == 3
    assert proxy.asked == [PLACE]


async def test_the_proxy_gets_its_credentials(mms: Simulator, bundle: str, observer: RecordingObserver) -> None:
    async with proxying({PLACE: port_of(mms)}, credentials=f"me:{CANARY}/@:%") as proxy:
        asked = {"url": proxy.url, "username": "me", "password": f"{CANARY}/@:%"}
        assert await sources_of(client_with(observer, ca_file=bundle, proxy=asked)) == 3


async def test_the_proxy_can_use_tls(
    mms: Simulator, authority: trustme.CA, bundle: str, observer: RecordingObserver
) -> None:
    async with proxying({PLACE: port_of(mms)}, tls=server_side(authority, "localhost")) as proxy:
        assert await sources_of(client_with(observer, ca_file=bundle, proxy={"url": proxy.url})) == 3


@pytest.mark.parametrize("endpoint", [f"https://{HOST}", "http://127.0.0.1:9"])
async def test_a_wrong_proxy_password_is_reported_without_quoting_it(
    endpoint: str, observer: RecordingObserver
) -> None:
    async with proxying({}, credentials="me:other") as proxy:
        asked = {"url": proxy.url, "username": "me", "password": CANARY}
        refusal = await refusal_of(client_with(observer, endpoint=endpoint, proxy=asked))
    assert "status 407" in str(refusal)
    assert refusal.hint == "check the username and the password of the proxy"
    assert CANARY not in f"{refusal}{refusal!r}{vars(refusal)}{refusal.__cause__}{refusal.__context__}{vars(observer)}"


async def test_a_proxy_that_refuses_the_host_is_named(observer: RecordingObserver) -> None:
    async with proxying({}) as proxy:
        refusal = await refusal_of(client_with(observer, proxy={"url": proxy.url}))
    place = proxy.url.removeprefix("http://")
    assert f"the proxy {place} refused to connect to {HOST}: status 403" in str(refusal)


async def test_an_unreachable_proxy_is_named(observer: RecordingObserver) -> None:
    async with proxying({}) as proxy:
        pass
    refusal = await refusal_of(client_with(observer, proxy={"url": proxy.url, "username": "me", "password": CANARY}))
    assert f"cannot connect to the proxy {proxy.url.removeprefix('http://')}" in str(refusal)
    assert CANARY not in str(refusal)


async def test_a_proxy_with_unknown_host_name_is_named(observer: RecordingObserver) -> None:
    refusal = await refusal_of(client_with(observer, proxy={"url": "http://proxy.invalid:1"}))
    assert "the name proxy.invalid cannot be resolved" in str(refusal)


def test_a_ca_file_without_certificates_is_rejected(tmp_path: Path, observer: RecordingObserver) -> None:
    (tmp_path / "ca.pem").write_text("nothing", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"accounts\[0\]\.ca_file: expected PEM certificates"):
        client_with(observer, ca_file=str(tmp_path / "ca.pem"))
