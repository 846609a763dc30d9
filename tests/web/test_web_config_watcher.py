"""Changes of the web configuration and its certificates while the server runs."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
from aiohttp import ClientSession
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from exporter.errors import ConfigError
from exporter.web.security.web_config import WebConfig
from exporter.web.security.web_config_watcher import WebConfigWatcher
from tests.web.http_fixture import Certificates, ask, running_server
from tests.web.test_middleware import DAVE, written

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
WITH_CLIENTS = TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: clients_ca.pem}")


def replaced(file: Path, text: str) -> None:
    """Replace a file by renaming an older one."""
    other = file.with_suffix(".new")
    other.write_text(text, encoding="utf-8")
    os.utime(other, (1e9, 1e9))
    other.replace(file)


async def serial(port: int, certificates: Certificates) -> int:
    """Return the serial number of the certificate on a new connection."""
    _, writer = await asyncio.open_connection("localhost", port, ssl=certificates.client_context())
    certificate = writer.get_extra_info("peercert")
    writer.transport.abort()
    return int(certificate["serialNumber"], 16)


async def test_users_are_added_and_removed_with_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "basic_auth_users: {}\n")
    async with running_server(file) as ours:
        assert await ask(ours.port) == 200
        file.write_text(f"basic_auth_users: {{dave: {DAVE}}}\n", encoding="utf-8")
        assert await ask(ours.port) == 401
        assert await ask(ours.port, auth=("dave", "dave123")) == 200
        file.write_text(f"basic_auth_users: {{carol: {DAVE}}}\n", encoding="utf-8")
        assert await ask(ours.port, auth=("dave", "dave123")) == 401
        assert ours.loads == [True, True]


async def test_an_invalid_file_changes_nothing_and_is_logged_once(tmp_path: Path) -> None:
    file = written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")
    async with running_server(file) as ours:
        with capture_logs() as logs:
            replaced(file, "basic_auth_users: {dave: canary}\n")
            for _ in range(5):
                assert await ask(ours.port) == 401
        assert await ask(ours.port, auth=("dave", "dave123")) == 200
        assert ours.loads == [False]
        warnings = [each for each in logs if each["log_level"] == "warning"]
        assert [each["event"] for each in warnings] == [
            "web configuration reload failed, keeping the previous configuration"
        ]
        assert "canary" not in str(logs)
        replaced(file, "{}")
        assert await ask(ours.port) == 200
        assert ours.loads == [False, True]


@pytest.mark.parametrize("text", ["", " \n\n", "# Users of this exporter\n"])
async def test_an_emptied_file_keeps_the_users(tmp_path: Path, text: str) -> None:
    # An empty file may be truncated; `{}` removes all users.
    file = written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")
    async with running_server(file) as ours:
        with capture_logs() as logs:
            replaced(file, text)
            for _ in range(3):
                assert await ask(ours.port) == 401
        problems = [each["problems"] for each in logs if each["log_level"] == "warning"]
        assert problems == [f"{file}: the file is empty and had users; write {{}} to remove all users"]
        assert ours.loads == [False]


def test_an_emptied_file_without_users_is_applied(tmp_path: Path) -> None:
    web_config = WebConfigWatcher(file := written(tmp_path, "rate_limit: {interval: 1s, burst: 1}\n"))
    replaced(file, "")
    web_config.reload_if_changed()
    assert web_config.settings.config == WebConfig()


@pytest.mark.parametrize(
    ("before", "after", "warning"),
    [
        (f"basic_auth_users: {{dave: {DAVE}}}\n", "{}\n", "basic auth is off"),
        (WITH_CLIENTS, TLS, "client certificates are not required"),
        (
            WITH_CLIENTS,
            WITH_CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"),
            "client certificates are not required",
        ),
        (TLS, WITH_CLIENTS, None),
    ],
)
def test_a_dropped_protection_is_logged(
    certificates: Certificates, before: str, after: str, warning: str | None
) -> None:
    web_config = WebConfigWatcher(file := written(certificates.folder, before))
    with capture_logs() as logs:
        replaced(file, after)
        web_config.apply(web_config.read())
    warnings = [each["event"] for each in logs if each["log_level"] == "warning"]
    assert len(warnings) == (warning is not None)
    assert all(each.startswith(str(warning)) for each in warnings)


async def test_a_changed_certificate_next_to_an_invalid_file_is_logged_once(
    certificates: Certificates,
) -> None:
    file = written(certificates.folder, TLS)
    async with running_server(file) as ours:
        replaced(file, "nonsense: 1\n")
        await serial(ours.port, certificates)
        certificates.issue_server()
        for _ in range(5):
            await serial(ours.port, certificates)
        assert ours.loads == [False, False]
        replaced(file, TLS)
        await serial(ours.port, certificates)
        assert ours.loads == [False, False, True]


async def test_a_missing_file_changes_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")
    async with running_server(file) as ours:
        file.unlink()
        assert await ask(ours.port) == 401
        assert ours.loads == [False]


def test_a_file_that_may_be_half_written_is_not_read(tmp_path: Path) -> None:
    # A file being written is empty at first and would disable logins.
    file = written(tmp_path, f"basic_auth_users: {{dave: {DAVE}}}\n")
    web_config = WebConfigWatcher(file)
    file.write_text("", encoding="utf-8")
    web_config.reload_if_changed()
    assert web_config.settings.config.basic_auth_users


@pytest.mark.parametrize("name", ["web.yml", "server.pem", "server.key", "clients_ca.pem"])
async def test_a_file_that_is_being_written_is_read_once_when_complete(certificates: Certificates, name: str) -> None:
    loads: list[bool] = []
    os.utime(web_file := written(certificates.folder, WITH_CLIENTS), (1e9, 1e9))
    web_config = WebConfigWatcher(web_file, loads.append)
    file = certificates.folder / name
    content = file.read_bytes()
    file.write_bytes(b"")
    web_config.reload_if_changed()
    file.write_bytes(content)
    await asyncio.gather(*(web_config.current() for _ in range(10)))
    assert loads == [True]


async def test_a_changed_symbolic_link_is_detected(tmp_path: Path) -> None:
    # Kubernetes updates a mounted volume this way.
    for name, user in (("first", "dave"), ("second", "carol")):
        (tmp_path / name).mkdir()
        file = written(tmp_path / name, f"basic_auth_users: {{{user}: {DAVE}}}\n")
        os.utime(file, (1e9, 1e9))
    link = tmp_path / "data"
    link.symlink_to("first")
    async with running_server(link / "web.yml") as ours:
        assert await ask(ours.port, auth=("dave", "dave123")) == 200
        (tmp_path / "turned").symlink_to("second")
        (tmp_path / "turned").replace(link)
        assert await ask(ours.port, auth=("dave", "dave123")) == 401
        assert await ask(ours.port, auth=("carol", "dave123")) == 200


async def test_new_connections_get_the_new_certificate_and_open_ones_continue(certificates: Certificates) -> None:
    async with running_server(written(certificates.folder, TLS)) as ours, ClientSession() as scraper:
        url, context = f"https://localhost:{ours.port}/metrics", certificates.client_context()
        before = await serial(ours.port, certificates)
        async with scraper.get(url, ssl=context) as response:
            await response.read()
        certificates.issue_server()
        assert await serial(ours.port, certificates) != before
        async with scraper.get(url, ssl=context) as response:
            assert response.status == 200
        assert ours.loads == [True]


async def test_a_new_certificate_without_its_key_keeps_the_old_pair(certificates: Certificates) -> None:
    async with running_server(written(certificates.folder, TLS)) as ours:
        before = await serial(ours.port, certificates)
        certificates.issue("next", "localhost", by=certificates.authority)
        (certificates.folder / "next.pem").replace(certificates.folder / "server.pem")
        assert await serial(ours.port, certificates) == before
        (certificates.folder / "next.key").replace(certificates.folder / "server.key")
        assert await serial(ours.port, certificates) != before
        assert ours.loads == [False, True]


async def test_a_file_that_appears_is_detected(certificates: Certificates) -> None:
    file = written(certificates.folder, TLS)
    async with running_server(file) as ours:
        before = await serial(ours.port, certificates)
        replaced(file, TLS.replace("server.", "late."))
        assert await serial(ours.port, certificates) == before
        certificates.issue("late", "localhost", by=certificates.authority)
        assert await serial(ours.port, certificates) != before


async def test_a_removed_client_ca_applies_to_new_connections(certificates: Certificates) -> None:
    async with running_server(written(certificates.folder, WITH_CLIENTS)) as ours:
        assert await ask(ours.port, certificates.client_context("client")) == 200
        certificates.authority.cert_pem.write_to_path(str(certificates.folder / "clients_ca.pem"))
        assert await ask(ours.port, certificates.client_context("client")) == "refused"


async def test_tls_cannot_be_turned_off_by_a_reload(certificates: Certificates) -> None:
    file = written(certificates.folder, TLS)
    async with running_server(file) as ours:
        replaced(file, "{}\n")
        assert await ask(ours.port, certificates.client_context()) == 200
        assert ours.loads == [False]


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_rejected_without_a_prompt(
    certificates: Certificates, form: serialization.PrivateFormat
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = serialization.BestAvailableEncryption(b"password")
    (certificates.folder / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    problems = problems_in(certificates, TLS)
    assert problems == ["tls_server_config.key_file: the key is encrypted; use an unencrypted key"]


def test_swapped_certificate_and_key_files_are_reported_separately(certificates: Certificates) -> None:
    swapped = "tls_server_config: {cert_file: server.key, key_file: clients_ca.pem}\n"
    assert problems_in(certificates, swapped) == [
        "tls_server_config.cert_file: contains no PEM certificate",
        "tls_server_config.key_file: contains no PEM private key",
    ]


def test_a_key_of_another_certificate_is_rejected(certificates: Certificates) -> None:
    problems = problems_in(certificates, TLS.replace("server.key", "client.key"))
    assert problems == ["tls_server_config.cert: certificate and key cannot be used: key values mismatch"]


def problems_in(certificates: Certificates, text: str) -> list[str]:
    """Return the problems of a web configuration file with `text`."""
    with pytest.raises(ConfigError) as caught:
        WebConfigWatcher(file := written(certificates.folder, text))
    return [str(problem).removeprefix(f"{file}: ") for problem in caught.value.problems]


def test_certificate_and_key_can_be_inline(certificates: Certificates) -> None:
    lines = ["tls_server_config:"]
    for name, file in (("cert", "server.pem"), ("key", "server.key"), ("client_ca", "clients_ca.pem")):
        lines += [f"  {name}: |", *(f"    {line}" for line in (certificates.folder / file).read_text().splitlines())]
    lines.append("  client_auth_type: RequireAndVerifyClientCert\n")
    context = WebConfigWatcher(written(certificates.folder, "\n".join(lines))).settings.context
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
