"""Failed TLS handshakes are logged with their reason, at most once a minute."""

import asyncio
import ssl

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from exporter.web.security.tls_failure_log import INTERVAL_SECONDS, TlsFailureLog
from tests.harness import eventually
from tests.web.http_fixture import REFUSED, Certificates, ask, running_server
from tests.web.test_middleware import written
from tests.web.test_web_config_watcher import TLS, WITH_CLIENTS

FAILURE = ssl.SSLError(ssl.SSL_ERROR_SSL, "no")


def warnings_in(logs: list[EventDict]) -> list[EventDict]:
    return [each for each in logs if each["log_level"] == "warning"]


@pytest.mark.parametrize(
    ("text", "certificate", "reason"),
    [
        (WITH_CLIENTS, "other", "client certificate: unable to get local issuer certificate"),
        (WITH_CLIENTS, None, "peer did not return a certificate"),
        (
            WITH_CLIENTS.replace("}", ", client_allowed_sans: [elsewhere]}"),
            "client",
            "the client certificate has no allowed SAN",
        ),
    ],
)
async def test_the_reason_of_a_failed_handshake_is_logged(
    certificates: Certificates, text: str, certificate: str | None, reason: str
) -> None:
    async with running_server(written(certificates.folder, text)) as ours:
        with capture_logs() as logs:
            assert await ask(ours.port, certificates.client_context(certificate)) == REFUSED
            await eventually(lambda: bool(warnings_in(logs)))
    assert warnings_in(logs) == [
        {
            "event": "TLS clients rejected",
            "log_level": "warning",
            "count": 1,
            "last_address": "127.0.0.1",
            "last_reason": reason,
        }
    ]


async def test_a_port_probe_logs_no_warning(certificates: Certificates) -> None:
    async with running_server(written(certificates.folder, TLS)) as ours:
        with capture_logs() as logs:
            _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
            writer.close()
            await eventually(lambda: any(each["event"] == "TLS handshake failed" for each in logs))
    assert warnings_in(logs) == []


def test_many_failures_give_one_line_per_minute_with_their_count() -> None:
    failures = TlsFailureLog()
    with capture_logs() as logs:
        for second in range(round(INTERVAL_SECONDS) + 1):
            failures.add(FAILURE, f"192.0.2.{second}", 1000.0 + second)
    warnings = [(each["count"], each["last_address"]) for each in warnings_in(logs)]
    assert warnings == [(1, "192.0.2.0"), (60, "192.0.2.60")]
