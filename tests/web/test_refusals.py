"""Who is turned away by TLS is told in the log, in words and not too often."""

import asyncio
import ssl

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from exporter.web.refusals import REST_SECONDS, Refusals
from tests.harness import eventually
from tests.web.door import REFUSED, Papers, ask, door
from tests.web.test_entrance import TLS, WITH_CLIENTS
from tests.web.test_gate import written

REFUSAL = ssl.SSLError(ssl.SSL_ERROR_SSL, "no")


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
async def test_why_a_client_was_turned_away_is_told_in_words(
    papers: Papers, text: str, certificate: str | None, reason: str
) -> None:
    async with door(written(papers.folder, text)) as ours:
        with capture_logs() as logs:
            assert await ask(ours.port, papers.client_context(certificate)) == REFUSED
            await eventually(lambda: bool(warnings_in(logs)))
    assert warnings_in(logs) == [
        {
            "event": "TLS clients turned away",
            "log_level": "warning",
            "count": 1,
            "last_address": "127.0.0.1",
            "last_reason": reason,
        }
    ]


async def test_a_probe_of_the_port_is_no_client_that_was_turned_away(papers: Papers) -> None:
    async with door(written(papers.folder, TLS)) as ours:
        with capture_logs() as logs:
            _, writer = await asyncio.open_connection("127.0.0.1", ours.port)
            writer.close()
            await eventually(lambda: any(each["event"] == "handshake failed" for each in logs))
    assert warnings_in(logs) == []


def test_many_that_are_turned_away_are_one_line_a_minute_with_their_number() -> None:
    refusals = Refusals()
    with capture_logs() as logs:
        for second in range(round(REST_SECONDS) + 1):
            refusals.note(REFUSAL, f"192.0.2.{second}", 1000.0 + second)
    told = [(each["count"], each["last_address"]) for each in warnings_in(logs)]
    assert told == [(1, "192.0.2.0"), (60, "192.0.2.60")]
