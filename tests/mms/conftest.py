"""Fixtures: simulated MMS, custom HTTP servers, clients, observer and clock."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from exporter.clock import Clock
from exporter.mms.client import Client
from exporter.mms.credentials import CredentialSource, StaticCredentials
from exporter.mms.signing import Credential
from exporter.mms.throttle import Limits
from exporter.simulator import ManualClock, Simulator, World, WorldOptions

SAMPLES = Path(__file__).parent.parent / "samples"
CREDENTIAL = Credential("LTAI-EXAMPLE", "not-a-secret")
NO_LIMITS = Limits(requests_per_second=0, timeout_seconds=10.0)

MakeClient = Callable[..., Client]
Serve = Callable[..., Awaitable[str]]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def sample(operation: str, case: str = "vendor") -> bytes:
    """Return a sample response; tests/samples/README.md has the origins."""
    return (SAMPLES / operation / f"{case}.json").read_bytes()


class RecordingObserver:
    """An observer that records all events."""

    def __init__(self) -> None:
        self.attempts: list[tuple[str, float, str | None]] = []
        self.retries: Counter[str] = Counter()
        self.waits: list[tuple[str, float]] = []
        self.lost: list[tuple[str, tuple[str, ...]]] = []

    @property
    def reasons(self) -> list[str | None]:
        """Error reason of each attempt; None for a success."""
        return [reason for _, _, reason in self.attempts]

    def attempted(self, operation: str, seconds: float, reason: str | None) -> None:
        self.attempts.append((operation, seconds, reason))

    def retried(self, operation: str) -> None:
        self.retries[operation] += 1

    def waited(self, operation: str, seconds: float) -> None:
        self.waits.append((operation, seconds))

    def unexpected(self, operation: str, fields: Sequence[str]) -> None:
        self.lost.append((operation, tuple(fields)))

    def unrefused(self, operation: str) -> None:
        """Do nothing: only collectors record refusals."""


@dataclass
class FakeClock:
    """A clock moved by the test; `sleep` returns at once and is recorded."""

    slept: list[float] = field(default_factory=list)
    ahead: float = 0.0
    wall_ahead: float = 0.0
    """Jump of the wall clock in seconds."""
    gate: asyncio.Event | None = None
    """If set, each sleep waits for this event."""

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time() + self.wall_ahead

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.gate is not None:
            await self.gate.wait()
        self.ahead += seconds
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        return Clock(wall=self.wall, monotonic=self.monotonic, sleep=self.sleep)


@pytest.fixture
def observer() -> RecordingObserver:
    """Return the observer of all clients of this test."""
    return RecordingObserver()


@pytest.fixture
def fake_clock() -> FakeClock:
    """Return the clock of all clients of this test."""
    return FakeClock()


@pytest.fixture
def world_clock() -> ManualClock:
    """Return the clock of the simulated world."""
    return ManualClock()


@pytest.fixture
async def simulator(world_clock: ManualClock) -> AsyncIterator[Simulator]:
    """Yield a small simulated MMS without incidents."""
    options = WorldOptions(
        sources=3,
        tables=6,
        partitions=4,
        finished_jobs_per_source=6,
        special_sources=False,
        incidents=False,
    )
    async with Simulator(World(options, clock=world_clock)) as running:
        yield running


@pytest.fixture
async def client_on(observer: RecordingObserver, fake_clock: FakeClock) -> AsyncIterator[MakeClient]:
    """Yield a factory for clients without jitter; close them at the end."""
    async with contextlib.AsyncExitStack() as stack:

        def make(
            url: str,
            *,
            limits: Limits = NO_LIMITS,
            credentials: CredentialSource | Credential = CREDENTIAL,
            jitter: float = 0.0,
            may_write: bool = True,
        ) -> Client:
            source = StaticCredentials(credentials) if isinstance(credentials, Credential) else credentials
            client = Client(
                url, source, observer, limits=limits, clock=fake_clock.clock, jitter=lambda: jitter, may_write=may_write
            )
            stack.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def client(simulator: Simulator, client_on: MakeClient) -> Client:
    """Return a client on the simulator."""
    return client_on(simulator.url)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Yield a function that starts an HTTP server and returns its URL."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(answer: Answer) -> str:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", answer)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return f"http://127.0.0.1:{runner.addresses[0][1]}"

        yield start


@pytest.fixture
async def serve_raw() -> AsyncIterator[Serve]:
    """Yield a function that starts a TCP server and returns its address."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(connected: Connected, **options: object) -> str:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    await connected(reader, writer)
                writer.close()

            server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)  # type: ignore[arg-type]  # asyncio's own
            stack.push_async_callback(server.wait_closed)
            stack.callback(server.close)
            host, port = server.sockets[0].getsockname()
            return f"{host}:{port}"

        yield start


def answering(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Return a handler with a fixed response; `_` means `-` in header names."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=sent)

    return answer


def speaking(text: bytes) -> Connected:
    """Return a TCP handler that sends `text` after one request and closes."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()

    return connected
