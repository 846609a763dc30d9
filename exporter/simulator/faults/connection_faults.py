"""Connection faults: resets, hangs, slow and endless answers, which aiohttp does not produce by itself."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from exporter.simulator.faults.response_faults import JSON, ApiAnswer

_NO_LINGER: Final = struct.pack("ii", 1, 0)
_CHUNK: Final = 1 << 16
_TICK_SECONDS: Final = 0.02
_ENDLESS_HEAD: Final = b'{"requestId":"endless","data":{"total":1000000000,"objectList":['
_ENDLESS_ROWS: Final = b'{"id":1,"name":"again"},' * 2000


def reset(request: web.Request) -> web.StreamResponse:
    """Close the connection with RST."""
    transport = request.transport
    if transport is not None:
        peer: socket.socket | None = transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    return web.Response()


async def hang(request: web.Request, stopping: asyncio.Event) -> web.StreamResponse:
    """Hang until the simulator stops or the client disconnects."""
    await stopping.wait()
    return reset(request)


async def reset_in_body(request: web.Request, answer: ApiAnswer) -> web.StreamResponse:
    """Send half of an answer, then close with RST."""
    response = await _prepared(request, answer)
    await response.write(answer.body[: len(answer.body) // 2])
    # The client must receive the half before the RST discards it.
    await asyncio.sleep(_TICK_SECONDS)
    reset(request)
    return response


async def end_early(request: web.Request, answer: ApiAnswer) -> web.StreamResponse:
    """Announce a whole answer, send half, and close the connection."""
    response = await _prepared(request, answer)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def drip(
    request: web.Request, answer: ApiAnswer, bytes_per_second: float, stopping: asyncio.Event
) -> web.StreamResponse:
    """Send an answer at a limited rate."""
    response = await _prepared(request, answer)
    sent, begun = 0, asyncio.get_running_loop().time()
    async for now in _ticks(stopping):
        due = min(len(answer.body), int((now - begun) * bytes_per_second) + 1)
        await response.write(answer.body[sent:due])
        sent = due
        if sent == len(answer.body):
            return response
    reset(request)
    return response


async def flood(request: web.Request, size: int | None, stopping: asyncio.Event) -> web.StreamResponse:
    """Send an endless list; `size` None sends chunks until disconnect."""
    response = web.StreamResponse(headers={"Content-Type": JSON})
    response.content_length = size
    await response.prepare(request)
    left = size or float("inf")
    chunk = _ENDLESS_HEAD
    with contextlib.suppress(ConnectionError):  # the client has enough
        while left > 0 and not stopping.is_set():
            piece = chunk[: int(min(left, len(chunk)))]
            await response.write(piece)
            left -= len(piece)
            chunk = _ENDLESS_ROWS
            # A fast reader would otherwise block all other tasks.
            await asyncio.sleep(0)
    return response if left <= 0 else reset(request)


async def _prepared(request: web.Request, answer: ApiAnswer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers={**answer.headers, "Content-Type": answer.content_type})
    response.content_length = len(answer.body)
    await response.prepare(request)
    return response


async def _ticks(stopping: asyncio.Event) -> AsyncIterator[float]:
    while not stopping.is_set():
        yield asyncio.get_running_loop().time()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), _TICK_SECONDS)
