"""Failed TLS handshakes are logged with their reason, at most once a minute."""

import asyncio

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.harness import eventually
from tests.web.http_fixture import REFUSED, Certificates, ask, running_server
from tests.web.test_middleware import written
from tests.web.test_web_config_watcher import TLS, WITH_CLIENTS


def warnings_in(logs: list[EventDict]) -> list[EventDict]:
    return [each for each in logs if each["log_level"] == "warning"]


@pytest.mark.parametrize(
    ("text", "certificate", "reason"),
    [
        (WITH_CLIENTS, "other", "unable to get local issuer certificate"),
        (WITH_CLIENTS, None, "peer did not return a certificate"),
        (
            WITH_CLIENTS.replace("}", ", client_allowed_sans: [elsewhere]}"),
            "client",
            "the client certificate has no allowed SAN",
        ),
    ],
)
async def test_the_reason_of_failed_handshakes_is_logged_once_a_minute(
    certificates: Certificates, text: str, certificate: str | None, reason: str
) -> None:
    async with running_server(written(certificates.folder, text)) as ours:
        with capture_logs() as logs:
            for _ in range(3):
                assert await ask(ours.port, certificates.client_context(certificate)) == REFUSED
            await eventually(lambda: [each["event"] for each in logs].count("TLS handshake failed") >= 3)
    (warning,) = warnings_in(logs)
    assert (warning["event"], warning["count"], warning["last_address"]) == ("TLS clients rejected", 1, "127.0.0.1")
    assert reason in warning["last_reason"]


async def test_a_port_probe_logs_no_warning(certificates: Certificates) -> None:
    async with running_server(written(certificates.folder, TLS)) as ours:
        with capture_logs() as logs:
            _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
            writer.close()
            await eventually(lambda: any(each["event"] == "TLS handshake failed" for each in logs))
    assert warnings_in(logs) == []
