"""HTTP server of the simulator: a world, the identities that may call it, and the active faults."""

import asyncio
import contextlib
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Self
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from exporter.mms import signing
from exporter.simulator.api import operations
from exporter.simulator.api.parameters import ObjectMissing, Refusal
from exporter.simulator.faults import connection_faults, response_faults
from exporter.simulator.faults.fault_plan import Fault, Faults
from exporter.simulator.faults.response_faults import ApiAnswer
from exporter.simulator.http import control
from exporter.simulator.http.request_auth import Identities, Identity, Received, RequestVerifier, check_permission
from exporter.simulator.world.event_handlers import apply_event
from exporter.simulator.world.world import World

DEFAULT_IDENTITY: Final = Identity("LTAI-EXAMPLE", "not-a-secret")
_LARGEST_REQUEST: Final = 1 << 26
_SHUTDOWN_SECONDS: Final = 0.5
_ID_WITH_NEWLINE: Final = frozenset({"GetMmsTable", "GetMmsPartition"})
"""Operations with a newline after the request id in the vendor's examples."""


class Simulator:
    """Serves one world on a socket."""

    def __init__(
        self,
        world: World,
        *,
        identities: Iterable[Identity] = (DEFAULT_IDENTITY,),
        page_size_cap: int = 100,
        latency_seconds: float = 0.0,
        wall_clock: Callable[[], float] = time.time,
        lower_case_errors: bool = False,
    ) -> None:
        self.world = world
        self.identities = Identities(identities)
        self.page_size_cap = page_size_cap
        self.page_size_caps: dict[str, int] = {}
        """Page size limits by operation, in place of `page_size_cap`."""
        self.reversed_lists: set[str] = set()
        """Operations with reversed rows: jobs and tasks oldest first, all others newest first."""
        self.missing_operations: set[str] = set()
        """Operations that do not exist, as in an older region."""
        self.not_found_code = ""
        """Error code for missing objects, such as OBJECT_NOT_EXIST; "" is a code by kind of object."""
        self.latency_seconds = latency_seconds
        self.lower_case_errors = lower_case_errors
        self.faults = Faults(world.options.seed, wall_clock)
        self.calls: Counter[tuple[str, int | None]] = Counter()
        """Received requests by operation and source id, rejected ones included."""
        self._verifier = RequestVerifier(self.identities, wall_clock)
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """The endpoint, or "" before the start."""
        return self._url

    def calls_reset(self) -> None:
        """Reset the request counts."""
        self.calls.clear()

    async def start(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Start to serve; port 0 takes a free one."""
        self._stopping.clear()
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        state = control.SimulatorState(self.world, self.identities, self.faults, self.calls)
        app.add_routes(control.routes(state))
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        bound_host, bound_port = self._runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        self._url = f"{'https' if tls else 'http'}://{shown}:{bound_port}"

    async def stop(self) -> None:
        """Cancel all requests, hanging ones too, and close the socket."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received = await _received(request)
        await self._pause(self.latency_seconds)
        route = operations.route(received.method, received.path)
        if route is not None:
            self.calls[route.operation, route.source_id] += 1
        request_id = str(uuid.uuid4()).upper()
        try:
            identity = self._verifier.verify(received)
            route = operations.known_route(route, received.headers[signing.HEADER_ACTION], self.missing_operations)
            check_permission(identity, route.operation, route.source_id)
            fault = self.faults.match(route.operation, route.source_id, received.query)
            if fault is None:
                return _response(self._answer(route, received, request_id, None))
            return await self._with_fault(request, fault, lambda: self._answer(route, received, request_id, fault))
        except Refusal as refusal:
            code = self.not_found_code if isinstance(refusal, ObjectMissing) and self.not_found_code else refusal.code
            facts = refusal.status, code, refusal.message, request_id
            return _response(response_faults.error_answer(*facts, lower_case=self.lower_case_errors))
        except ConnectionError:
            return connection_faults.reset(request)  # the client disconnected

    def _answer(
        self, route: operations.ApiRoute, received: Received, request_id: str, fault: Fault | None
    ) -> ApiAnswer:
        cap = self.page_size_caps.get(route.operation, self.page_size_cap)
        tweaks = response_faults.tweaks(fault)._replace(is_reversed=route.operation in self.reversed_lists)
        call = operations.ApiCall(route, received.query, received.body, cap, tweaks)
        data = operations.answer(self.world, call)
        if fault is not None:
            data = response_faults.corrupt_data(fault, data)
            if fault.event is not None and fault.kind == "meanwhile":
                apply_event(self.world, fault.event)
        stray = "\n" if route.operation in _ID_WITH_NEWLINE else ""
        return ApiAnswer(200, msgspec.json.encode({"requestId": request_id + stray, "data": data}))

    async def _with_fault(
        self, request: web.Request, fault: Fault, answer: Callable[[], ApiAnswer]
    ) -> web.StreamResponse:
        replacement = response_faults.replacement(fault, str(uuid.uuid4()).upper())
        if replacement is not None:
            return _response(replacement)
        if fault.kind == "hang":
            return await connection_faults.hang(request, self._stopping)
        if fault.kind == "reset":
            return connection_faults.reset(request)
        if fault.kind in {"endless", "huge"}:
            return await connection_faults.flood(request, fault.size if fault.kind == "huge" else None, self._stopping)
        if fault.kind == "latency":
            await self._pause(fault.seconds)
        return await self._send_faulty(request, fault, answer())

    async def _pause(self, seconds: float) -> None:
        """Sleep, but stop with the simulator."""
        if seconds:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopping.wait()

    async def _send_faulty(self, request: web.Request, fault: Fault, answer: ApiAnswer) -> web.StreamResponse:
        match fault.kind:
            case "lost_answer":
                return connection_faults.reset(request)
            case "reset_body":
                return await connection_faults.reset_in_body(request, answer)
            case "short_body":
                return await connection_faults.end_early(request, answer)
            case "drip":
                return await connection_faults.drip(request, answer, fault.bytes_per_second, self._stopping)
            case _:
                return _response(ApiAnswer(answer.status, response_faults.corrupt_body(fault, answer.body)))


async def _received(request: web.Request) -> Received:
    path, _, query = request.raw_path.partition("?")
    return Received(
        request.method,
        path,
        tuple(parse_qsl(query, keep_blank_values=True)),
        {name.lower(): value for name, value in request.headers.items()},
        await request.read(),
    )


def _response(answer: ApiAnswer) -> web.Response:
    headers = {**answer.headers, "Content-Type": answer.content_type}
    return web.Response(status=answer.status, body=answer.body, headers=headers)
