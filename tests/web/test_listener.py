"""The end of the listener: who was let in is answered, and who does not ask waits in vain."""

import asyncio
import contextlib
import socket
from contextlib import AsyncExitStack

from exporter.web.connection import Bounds
from tests.harness import eventually
from tests.web.door import Door, door

REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def let_in(standing: Door) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection on which nothing was asked yet."""
    connection = await asyncio.open_connection("127.0.0.1", standing.port)
    await eventually(lambda: bool(standing.server.connections))
    return connection


async def until_nobody_is_let_in(port: int) -> None:
    """Wait for the end's first step."""
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            socket.create_connection(("127.0.0.1", port)).close()
            await asyncio.sleep(0)


async def test_who_was_let_in_before_the_end_is_answered() -> None:
    async with AsyncExitStack() as stack:
        standing = await stack.enter_async_context(door())
        reader, writer = await let_in(standing)
        ending = asyncio.create_task(stack.aclose())
        await until_nobody_is_let_in(standing.port)
        writer.write(REQUEST)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await ending


async def test_who_asks_nothing_holds_up_the_end_for_a_moment_only() -> None:
    """Not for the time that a head may take."""
    async with AsyncExitStack() as stack:
        reader, writer = await let_in(await stack.enter_async_context(door(bounds=Bounds(head_seconds=600))))
        async with asyncio.timeout(20):
            await stack.aclose()
        assert await reader.read() == b""
        writer.close()
