"""Arbitrary requests by Hypothesis on the real process: a 4xx at little cost, and no log line."""

import itertools
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.conftest import IDENTITY
from tests.fuzz.targets import ANSWER, FIELDS, PAGES
from tests.processes import Running, serving, write_config
from tests.soak.resources import resources_of

MAX_GROWTH_BYTES = 16 * 2**20

AWAITED_BODY = (b"chunked", b"content-length")

tokens = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "BREW", "get", "G" * 9000, "GET\0", "É", "CONNECT"])
odd_paths = st.sampled_from(["/", "/metrics", "/-/reload", "*", "http://x/metrics", "//", "/" + "a" * 9000])
paths = odd_paths | st.text().map(lambda text: f"/{text}")
headers = st.lists(st.tuples(st.text(max_size=30), st.text(max_size=60)), max_size=8)
names = st.sampled_from(
    ["Content-Length", "Transfer-Encoding", "Accept", "Accept-Encoding", "Expect", "Upgrade", "Range"]
)
values = st.sampled_from(["-1", "1e9", "99999999999999999999", "chunked", "chunked, chunked", "gzip;q=", ",;,=", "h2c"])
known_headers = st.lists(st.tuples(names, values), max_size=4)

ODD_QUERIES = [
    b"x",
    b"a&b",
    b"a&b=%ff",
    b"&" * 4000,
    b"a=\xff",
    b"a=%00",
    b"%",
    b"%zz",
    b"=",
    b"?",
    b"name[]=up",
    b"\0",
]
ODD_TAGS = [b"*", b"", b'W/"', b'"', b'""', b'"a', b'W/"a", "b"', b"," * 4000, b'"' * 4000, b"\xff\xfe", b"\0"]
ODD_LOGINS = [b"Basic", b"Basic \xff", b"Basic " + b"=" * 4000]
ODD_COOKIES = [b"a=b; a", b";" * 4000, b'a="\\']
ODD_VALUES = [*ODD_TAGS, *ODD_LOGINS, *ODD_COOKIES, b"Sat, 99 Foo 99999 99:99:99 GMT", b"-1"]
queries = st.sampled_from(ODD_QUERIES) | st.binary(max_size=60)
odd_values = st.sampled_from(ODD_VALUES) | st.binary(max_size=60)
conditions = st.lists(st.tuples(st.sampled_from(FIELDS), odd_values), max_size=4)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exporter(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Provide the running program."""
    folder: Path = tmp_path_factory.mktemp("requests")
    async with Simulator(World(WorldOptions(sources=2), clock=ManualClock()), identities=[IDENTITY]) as simulator:
        file = write_config(folder, simulator.url)
        async with serving(f"--config.file={file}", "--web.enable-lifecycle") as running:
            await running.until_ready()
            yield running
            ended = await running.end()
    assert "Traceback" not in ended.err
    assert [line for line in ended.err.splitlines() if "level=info" not in line] == []


def answer_to(exporter: Running, request: bytes, seconds: float = 10) -> bytes:
    """Return the response head, empty while the server awaits bytes."""
    host, _, port = exporter.urls[0].removeprefix("http://").rpartition(":")
    answer = b""
    with (
        socket.create_connection((host, int(port)), timeout=seconds) as connection,
        suppress(ConnectionError, TimeoutError),
    ):
        connection.sendall(request)
        while b"\r\n\r\n" not in answer and (piece := connection.recv(65536)):
            answer += piece
    return answer


def assert_is_one(answer: bytes) -> None:
    """Check for one response: success or a client error."""
    assert ANSWER.match(answer), answer[:200]


def assert_is_answered(exporter: Running, request: bytes) -> None:
    """Check for a response, or that the body is awaited."""
    if any(mark in request.lower() for mark in AWAITED_BODY):
        assert_is_one(answer_to(exporter, request, seconds=0.2) or b"HTTP/1.1 200")
    else:
        assert_is_one(answer_to(exporter, request))


bounded = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@bounded
@given(tokens, paths, headers, known_headers, st.binary(max_size=300))
@example("GET", "/", [], [("Transfer-Encoding", "chunked")], b"ffffffffffffffff\r\n")
def test_an_arbitrary_request_is_answered(
    exporter: Running,
    method: str,
    path: str,
    absurd: list[tuple[str, str]],
    known: list[tuple[str, str]],
    body: bytes,
) -> None:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (*absurd, *known)]
    assert_is_answered(exporter, "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body)


def assert_page_is_answered(
    exporter: Running, page: bytes, query: bytes, fields: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Check that a page is served to this request."""
    lines = [b"GET " + page + b"?" + query + b" HTTP/1.1", b"Host: x"]
    lines += [name + b": " + value for name, value in fields]
    assert_is_answered(exporter, b"\r\n".join(lines) + b"\r\n\r\n")


@bounded
@given(st.sampled_from(PAGES), queries, conditions)
def test_a_page_with_arbitrary_method_and_headers_is_answered(
    exporter: Running, page: bytes, query: bytes, fields: list[tuple[bytes, bytes]]
) -> None:
    assert_page_is_answered(exporter, page, query, fields)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_an_unusual_query_or_header_is_answered(exporter: Running, page: bytes) -> None:
    for query in ODD_QUERIES:
        assert_page_is_answered(exporter, page, query)
    for field in itertools.product(FIELDS, ODD_VALUES):
        assert_page_is_answered(exporter, page, b"", [field])


@bounded
@given(st.binary(max_size=2000))
def test_arbitrary_bytes_are_answered(exporter: Running, request_bytes: bytes) -> None:
    answer = answer_to(exporter, request_bytes, seconds=0.2)
    if answer or b"\r\n\r\n" in request_bytes:
        assert_is_one(answer)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"x" * 300, b"405"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, b"405"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000, b"405"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + (b"x: " + b"y" * 7500 + b"\r\n") * 12 + b"\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 9000 + b"\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + (b"x: " + b"y" * 1000 + b"\r\n") * 200 + b"\r\n", b"400"),
    ],
    ids=["70 kB announced", "70 kB of body", "1 MB of body", "12 long headers", "9 kB header", "200 headers"],
)
def test_oversized_requests_are_answered_at_little_cost(exporter: Running, request_bytes: bytes, status: bytes) -> None:
    before = resources_of(exporter.process.pid)
    for _ in range(50):
        assert answer_to(exporter, request_bytes).split()[1] == status
    after = resources_of(exporter.process.pid)
    assert after.resident_bytes - before.resident_bytes < MAX_GROWTH_BYTES
    assert after.threads <= before.threads


def test_arbitrary_requests_cost_little_and_the_server_stays_up(exporter: Running) -> None:
    before = resources_of(exporter.process.pid)
    for _ in range(300):
        answer = answer_to(exporter, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n")
        assert answer[9:10] == b"4"
    after = resources_of(exporter.process.pid)
    assert after.resident_bytes - before.resident_bytes < MAX_GROWTH_BYTES
    assert after.threads <= before.threads
    request = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert answer_to(exporter, request).startswith(b"HTTP/1.1 200")
