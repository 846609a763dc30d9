"""The web configuration and its certificates change under a serving door: no connection drops, no bad file counts."""

import asyncio
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from exporter.errors import ConfigError
from exporter.web.entrance import Entrance
from exporter.web.web_config import WebConfig
from tests.web.door import Papers, ask, door
from tests.web.test_gate import DAVE, written

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
WITH_CLIENTS = TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients_ca.pem}")


def replaced(file: Path, text: str) -> None:
    """Put another file in the place of one, at rest from the start: as tools that rename do."""
    other = file.with_suffix(".new")
    other.write_text(text, encoding="utf-8")
    os.utime(other, (1e9, 1e9))
    other.replace(file)


async def serial(port: int, papers: Papers) -> int:
    """Return the serial number of the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("localhost", port, ssl=papers.client_context())
    certificate = writer.get_extra_info("peercert")
    writer.transport.abort()
    return int(certificate["serialNumber"], 16)


async def test_users_come_and_go_with_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "basic_auth_users: {}\n")
    async with door(file) as ours:
        assert await ask(ours.port) == 200
        file.write_text(f"basic_auth_users: {{dave: {DAVE}}}\n", encoding="utf-8")
        assert await ask(ours.port) == 401
        assert await ask(ours.port, auth=("dave", "dave123")) == 200
        file.write_text(f"basic_auth_users: {{carol: {DAVE}}}\n", encoding="utf-8")
        assert await ask(ours.port, auth=("dave", "dave123")) == 401
        assert ours.loads == [True, True]


async def test_a_file_that_cannot_be_used_leaves_all_as_it_was_and_is_told_once(tmp_path: Path) -> None:
    file = written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")
    async with door(file) as ours:
        with capture_logs() as logs:
            replaced(file, "basic_auth_users: {dave: canary}\n")
            for _ in range(5):
                assert await ask(ours.port) == 401
        assert await ask(ours.port, auth=("dave", "dave123")) == 200
        assert ours.loads == [False]
        warnings = [each for each in logs if each["log_level"] == "warning"]
        assert [each["event"] for each in warnings] == ["web configuration not read anew; the old one stays"]
        assert "canary" not in str(logs)
        replaced(file, "{}")
        assert await ask(ours.port) == 200
        assert ours.loads == [False, True]


@pytest.mark.parametrize("text", ["", " \n\n", "# Users of this exporter\n"])
async def test_a_file_that_was_emptied_lets_nobody_in_who_needed_a_password(tmp_path: Path, text: str) -> None:
    """Who writes a file may be cut short; who means it writes {}."""
    file = written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")
    async with door(file) as ours:
        with capture_logs() as logs:
            replaced(file, text)
            for _ in range(3):
                assert await ask(ours.port) == 401
        told = [each["problems"] for each in logs if each["log_level"] == "warning"]
        assert told == [f"{file}: is empty, and had users: write {{}} to let everyone enter"]
        assert ours.loads == [False]


def test_an_emptied_file_that_had_no_users_is_taken(tmp_path: Path) -> None:
    entrance = Entrance(file := written(tmp_path, "rate_limit: {interval: 1s, burst: 1}\n"))
    replaced(file, "")
    entrance.look()
    assert entrance.settings.config == WebConfig()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (f"basic_auth_users: {{dave: {DAVE}}}\n", "{}\n", "no password is asked for any more"),
        (WITH_CLIENTS, TLS, "no client certificate is required any more"),
        (WITH_CLIENTS, WITH_CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"), "no client"),
        (TLS, WITH_CLIENTS, None),
    ],
)
def test_what_is_not_asked_of_clients_any_more_is_told(
    papers: Papers, before: str, after: str, told: str | None
) -> None:
    entrance = Entrance(file := written(papers.folder, before))
    with capture_logs() as logs:
        replaced(file, after)
        entrance.take(entrance.read())
    warnings = [each["event"] for each in logs if each["log_level"] == "warning"]
    assert len(warnings) == (told is not None)
    assert all(each.startswith(str(told)) for each in warnings)


async def test_a_certificate_that_changes_beside_a_file_that_cannot_be_used_is_told_once_too(papers: Papers) -> None:
    file = written(papers.folder, TLS)
    async with door(file) as ours:
        replaced(file, "nonsense: 1\n")
        await serial(ours.port, papers)
        papers.issue_server()
        for _ in range(5):
            await serial(ours.port, papers)
        assert ours.loads == [False, False]
        replaced(file, TLS)
        await serial(ours.port, papers)
        assert ours.loads == [False, False, True]


async def test_a_file_that_is_gone_leaves_all_as_it_was(tmp_path: Path) -> None:
    file = written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")
    async with door(file) as ours:
        file.unlink()
        assert await ask(ours.port) == 401
        assert ours.loads == [False]


def test_a_file_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    """A moment before, it is empty, and nobody would need a password."""
    file = written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")
    entrance = Entrance(file)
    file.write_text("", encoding="utf-8")
    entrance.look()
    assert entrance.settings.config.basic_auth_users


@pytest.mark.parametrize("name", ["web.yml", "server.pem", "server.key", "clients_ca.pem"])
async def test_a_file_that_is_being_written_is_read_once_and_whole(papers: Papers, name: str) -> None:
    loads: list[bool] = []
    os.utime(web_file := written(papers.folder, WITH_CLIENTS), (1e9, 1e9))
    entrance = Entrance(web_file, loads.append)
    file = papers.folder / name
    content = file.read_bytes()
    file.write_bytes(b"")
    entrance.look()
    file.write_bytes(content)
    await asyncio.gather(*(entrance.settled() for _ in range(10)))
    assert loads == [True]


@pytest.mark.parametrize(("http2", "times"), [("true", 1), ("false", 0)])
async def test_that_http2_is_not_offered_is_told_at_debug(papers: Papers, http2: str, times: int) -> None:
    with capture_logs() as logs:
        async with door(written(papers.folder, f"{TLS}http_server_config: {{http2: {http2}}}\n")) as ours:
            assert await ask(ours.port, papers.client_context()) == 200
    told = [each["log_level"] for each in logs if "HTTP/2" in each["event"]]
    assert told == ["debug"] * times


async def test_a_link_that_is_turned_is_seen(tmp_path: Path) -> None:
    """As Kubernetes changes what it mounts."""
    for name, user in (("first", "dave"), ("second", "carol")):
        (tmp_path / name).mkdir()
        file = written(tmp_path / name, f"basic_auth_users: {{{user}: {DAVE}}}\n")
        os.utime(file, (1e9, 1e9))
    link = tmp_path / "data"
    link.symlink_to("first")
    async with door(link / "web.yml") as ours:
        assert await ask(ours.port, auth=("dave", "dave123")) == 200
        (tmp_path / "turned").symlink_to("second")
        (tmp_path / "turned").replace(link)
        assert await ask(ours.port, auth=("dave", "dave123")) == 401
        assert await ask(ours.port, auth=("carol", "dave123")) == 200


async def test_new_connections_get_a_new_certificate_and_old_ones_go_on(papers: Papers) -> None:
    async with door(written(papers.folder, TLS)) as ours, ClientSession() as scraper:
        url, context = f"https://localhost:{ours.port}/metrics", papers.client_context()
        before = await serial(ours.port, papers)
        async with scraper.get(url, ssl=context) as response:
            await response.read()
        papers.issue_server()
        assert await serial(ours.port, papers) != before
        async with scraper.get(url, ssl=context) as response:
            assert response.status == 200
        assert ours.loads == [True]


async def test_a_certificate_without_its_key_keeps_the_old_pair_until_the_key_comes(papers: Papers) -> None:
    async with door(written(papers.folder, TLS)) as ours:
        before = await serial(ours.port, papers)
        papers.issue("next", "localhost", by=papers.authority)
        (papers.folder / "next.pem").replace(papers.folder / "server.pem")
        assert await serial(ours.port, papers) == before
        (papers.folder / "next.key").replace(papers.folder / "server.key")
        assert await serial(ours.port, papers) != before
        assert ours.loads == [False, True]


async def test_a_file_that_was_missing_is_noticed_when_it_comes(papers: Papers) -> None:
    file = written(papers.folder, TLS)
    async with door(file) as ours:
        before = await serial(ours.port, papers)
        replaced(file, TLS.replace("server.", "late."))
        assert await serial(ours.port, papers) == before
        papers.issue("late", "localhost", by=papers.authority)
        assert await serial(ours.port, papers) != before


async def test_a_client_ca_that_is_taken_away_is_taken_from_new_connections(papers: Papers) -> None:
    async with door(written(papers.folder, WITH_CLIENTS)) as ours:
        assert await ask(ours.port, papers.client_context("client")) == 200
        papers.authority.cert_pem.write_to_path(str(papers.folder / "clients_ca.pem"))
        assert await ask(ours.port, papers.client_context("client")) == "refused"


async def test_tls_does_not_leave_a_serving_door(papers: Papers) -> None:
    file = written(papers.folder, TLS)
    async with door(file) as ours:
        replaced(file, "{}\n")
        assert await ask(ours.port, papers.client_context()) == 200
        assert ours.loads == [False]


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(
    papers: Papers, form: serialization.PrivateFormat
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = serialization.BestAvailableEncryption(b"password")
    (papers.folder / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    said = problems_in(papers, TLS)
    assert said == ["tls_server_config.key_file: the key is encrypted; give one without a password"]


@pytest.mark.parametrize(("days", "told"), [(-1, ["the certificate of the web configuration has expired"]), (1, [])])
def test_a_certificate_that_has_expired_is_told_at_start_and_when_it_is_read_anew(
    papers: Papers, days: int, told: list[str]
) -> None:
    issued = papers.authority.issue_cert("localhost", not_after=datetime.now(UTC) + timedelta(days=days))
    issued.private_key_and_cert_chain_pem.write_to_path(str(papers.folder / "both.pem"))
    with capture_logs() as logs:
        file = written(papers.folder, "tls_server_config: {cert_file: both.pem, key_file: both.pem}\n")
        entrance = Entrance(file)
        entrance.take(entrance.read())
    assert [each["event"] for each in logs if each["log_level"] == "warning"] == told * 2


def test_files_that_were_mistaken_for_each_other_are_told_one_by_one(papers: Papers) -> None:
    swapped = "tls_server_config: {cert_file: server.key, key_file: clients_ca.pem}\n"
    assert problems_in(papers, swapped) == [
        "tls_server_config.cert_file: holds no certificate in PEM",
        "tls_server_config.key_file: holds no private key in PEM",
    ]


def test_a_key_of_another_certificate_is_refused(papers: Papers) -> None:
    said = problems_in(papers, TLS.replace("server.key", "client.key"))
    assert said == ["tls_server_config.cert: certificate and key cannot be used: key values mismatch"]


def problems_in(papers: Papers, text: str) -> list[str]:
    """Return what is said of a web configuration file that holds `text`."""
    with pytest.raises(ConfigError) as caught:
        Entrance(file := written(papers.folder, text))
    return [str(problem).removeprefix(f"{file}: ") for problem in caught.value.problems]


def test_certificate_and_key_may_stand_in_the_file(papers: Papers) -> None:
    lines = ["tls_server_config:"]
    for name, file in (("cert", "server.pem"), ("key", "server.key"), ("client_ca", "clients_ca.pem")):
        lines += [f"  {name}: |", *(f"    {line}" for line in (papers.folder / file).read_text().splitlines())]
    lines.append("  client_auth_type: RequireAndVerifyClientCert\n")
    context = Entrance(written(papers.folder, "\n".join(lines))).settings.context
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
