"""Requests as absurd as Hypothesis makes them, on the real process: a 4xx, at little cost, and no line in the log."""

import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.conftest import IDENTITY
from tests.processes import Running, serving, write_config
from tests.soak.resources import resources_of

MAX_GROWTH_BYTES = 16 * 2**20

tokens = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "BREW", "get", "G" * 9000, "GET\0", "É", "CONNECT"])
odd_paths = st.sampled_from(["/", "/metrics", "/-/reload", "*", "http://x/metrics", "//", "/" + "a" * 9000])
paths = odd_paths | st.text().map(lambda text: f"/{text}")
headers = st.lists(st.tuples(st.text(max_size=30), st.text(max_size=60)), max_size=8)
names = st.sampled_from(
    ["Content-Length", "Transfer-Encoding", "Accept", "Accept-Encoding", "Expect", "Upgrade", "Range"]
)
values = st.sampled_from(["-1", "1e9", "99999999999999999999", "chunked", "chunked, chunked", "gzip;q=", ",;,=", "h2c"])
known_headers = st.lists(st.tuples(names, values), max_size=4)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exporter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Provide the program, serving."""
    folder: Path = tmp_path_factory.mktemp("requests")
    async with Simulator(World(WorldOptions(sources=2), clock=ManualClock()), identities=[IDENTITY]) as simulator:
        file = write_config(folder, simulator.url)
        async with serving(f"--config.file={file}", "--web.enable-lifecycle") as running:
            await running.until_ready()
            yield running
            ended = await running.end()
    assert "Traceback" not in ended.err
    assert [line for line in ended.err.splitlines() if "level=info" not in line] == []


def answer_to(exporter: Running, request: bytes) -> bytes:
    """Return what is answered to some bytes; nothing where it waits for more of them."""
    host, _, port = exporter.urls[0].removeprefix("http://").rpartition(":")
    answer = b""
    with (
        socket.create_connection((host, int(port)), timeout=0.2) as connection,
        suppress(ConnectionError, TimeoutError),
    ):
        connection.sendall(request)
        while piece := connection.recv(65536):
            answer += piece
    return answer


def assert_is_one(answer: bytes) -> None:
    """Check that an answer is one: none at all, what was asked for, or that it was wrong to ask."""
    assert not answer or answer.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2", b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]


bounded = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@bounded
@given(tokens, paths, headers, known_headers, st.binary(max_size=300))
@example("GET", "/", [], [("Transfer-Encoding", "chunked")], b"ffffffffffffffff\r\n")
@example("POST", "/-/reload", [], [("Content-Length", "70000")], b"x" * 300)
def test_a_request_of_absurd_parts_is_answered(
    exporter: Running,
    method: str,
    path: str,
    absurd: list[tuple[str, str]],
    known: list[tuple[str, str]],
    body: bytes,
) -> None:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (*absurd, *known)]
    assert_is_one(answer_to(exporter, "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body))


@bounded
@given(st.binary(max_size=2000))
def test_bytes_that_are_no_request_are_answered(exporter: Running, request_bytes: bytes) -> None:
    assert_is_one(answer_to(exporter, request_bytes))


def test_absurd_requests_cost_little_and_the_server_stays_up(exporter: Running) -> None:
    before = resources_of(exporter.process.pid)
    for _ in range(300):
        answer = answer_to(exporter, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n")
        assert answer[9:10] == b"4"
    after = resources_of(exporter.process.pid)
    assert after.resident_bytes - before.resident_bytes < MAX_GROWTH_BYTES
    assert after.threads <= before.threads
    request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert answer_to(exporter, request).startswith(b"HTTP/1.1 200")
