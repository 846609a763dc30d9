"""The way to MMS: by a proxy, under a certificate of a private authority, and what is said where it is closed."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from exporter.clock import Clock
from exporter.config.loading import config_from
from exporter.errors import ConfigError, ConnectionFailed
from exporter.mms.client import Client
from exporter.mms.client_factory import create_client
from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.connect_proxy import proxying
from tests.harness import no_sleep
from tests.mms.conftest import CREDENTIAL, Ear

HOST = "mms.example.com"
"""A name that only the proxy can resolve."""
PLACE = f"{HOST}:443"
CANARY = "canary7f3a"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return a private certificate authority."""
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    """Return the file of the authority's certificate, with a comment as bundles have them."""
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


def client_with(ear: Ear, **settings: object) -> Client:
    """Return a client of an account with `settings`."""
    credentials = {"type": "access_key", "access_key_id": CREDENTIAL.access_key_id}
    credentials |= {"access_key_secret": CREDENTIAL.access_key_secret}
    account = {"name": "a", "region": "cn-shanghai", "endpoint": f"https://{HOST}", "credentials": credentials}
    return create_client(config_from({"accounts": [{**account, **settings}]}).accounts[0], ear, Clock(sleep=no_sleep))


async def sources_of(client: Client) -> int:
    """Return how many data sources the client lists, after which it is closed."""
    async with client:
        return len((await client.list_data_sources()).rows)


async def refusal_of(client: Client) -> ConnectionFailed:
    """Return why the client, which is closed then, cannot list data sources, its attempts included."""
    async with client:
        with pytest.raises(ConnectionFailed) as caught:
            await client.list_data_sources()
    return caught.value


async def test_a_private_authority_is_trusted_where_it_is_named(mms: Simulator, bundle: str, ear: Ear) -> None:
    endpoint = f"https://localhost:{port_of(mms)}"
    assert await sources_of(client_with(ear, endpoint=endpoint, ca_file=bundle)) == 3


async def test_without_its_bundle_the_error_says_what_to_name(mms: Simulator, ear: Ear) -> None:
    refusal = await refusal_of(client_with(ear, endpoint=f"https://localhost:{port_of(mms)}"))
    assert "the TLS connection to localhost" in str(refusal)
    assert "unable to get local issuer certificate" in str(refusal)
    assert "ca_file" in refusal.hint


async def test_a_bundle_stands_in_place_of_the_systems_authorities(mms: Simulator, tmp_path: Path, ear: Ear) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(trustme.CA().cert_pem.bytes())
    refusal = await refusal_of(client_with(ear, endpoint=f"https://localhost:{port_of(mms)}", ca_file=str(other)))
    assert "ca_file" in refusal.hint


async def test_a_certificate_of_another_name_is_refused_with_its_reason(mms: Simulator, bundle: str, ear: Ear) -> None:
    refusal = await refusal_of(client_with(ear, endpoint=f"https://127.0.0.1:{port_of(mms)}", ca_file=bundle))
    assert "certificate is not valid for '127.0.0.1'" in str(refusal)


async def test_a_proxy_is_asked_for_the_endpoint(mms: Simulator, bundle: str, ear: Ear) -> None:
    async with proxying({PLACE: port_of(mms)}) as proxy:
        assert await sources_of(client_with(ear, ca_file=bundle, proxy={"url": proxy.url})) == 3
    assert proxy.asked == [PLACE]


async def test_a_proxy_is_given_its_credentials(mms: Simulator, bundle: str, ear: Ear) -> None:
    async with proxying({PLACE: port_of(mms)}, credentials=f"me:{CANARY}/@:%") as proxy:
        asked = {"url": proxy.url, "username": "me", "password": f"{CANARY}/@:%"}
        assert await sources_of(client_with(ear, ca_file=bundle, proxy=asked)) == 3


async def test_a_proxy_may_itself_be_asked_over_tls(
    mms: Simulator, authority: trustme.CA, bundle: str, ear: Ear
) -> None:
    async with proxying({PLACE: port_of(mms)}, tls=server_side(authority, "localhost")) as proxy:
        assert await sources_of(client_with(ear, ca_file=bundle, proxy={"url": proxy.url})) == 3


@pytest.mark.parametrize("endpoint", [f"https://{HOST}", "http://127.0.0.1:9"])
async def test_a_wrong_password_is_told_and_not_quoted(endpoint: str, ear: Ear) -> None:
    async with proxying({}, credentials="me:other") as proxy:
        asked = {"url": proxy.url, "username": "me", "password": CANARY}
        refusal = await refusal_of(client_with(ear, endpoint=endpoint, proxy=asked))
    assert "status 407" in str(refusal)
    assert refusal.hint == "check the username and the password of the proxy"
    assert CANARY not in f"{refusal}{refusal!r}{vars(refusal)}{refusal.__cause__}{refusal.__context__}{vars(ear)}"


async def test_a_proxy_that_lets_nothing_through_is_named(ear: Ear) -> None:
    async with proxying({}) as proxy:
        refusal = await refusal_of(client_with(ear, proxy={"url": proxy.url}))
    place = proxy.url.removeprefix("http://")
    assert f"the proxy {place} refused to connect to {HOST}: status 403" in str(refusal)


async def test_a_proxy_that_is_not_there_is_named(ear: Ear) -> None:
    async with proxying({}) as proxy:
        pass
    refusal = await refusal_of(client_with(ear, proxy={"url": proxy.url, "username": "me", "password": CANARY}))
    assert f"cannot connect to the proxy {proxy.url.removeprefix('http://')}" in str(refusal)
    assert CANARY not in str(refusal)


async def test_a_proxy_whose_name_is_none_is_named(ear: Ear) -> None:
    refusal = await refusal_of(client_with(ear, proxy={"url": "http://proxy.invalid:1"}))
    assert "the name proxy.invalid cannot be resolved" in str(refusal)


def test_a_bundle_without_certificates_is_a_problem(tmp_path: Path, ear: Ear) -> None:
    (tmp_path / "ca.pem").write_text("nothing", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"accounts\[0\]\.ca_file: expected PEM certificates"):
        client_with(ear, ca_file=str(tmp_path / "ca.pem"))
