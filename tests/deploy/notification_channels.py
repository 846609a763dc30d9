"""Loopback servers in place of the channels of Alertmanager: any HTTP API, and mail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

REPLIES = {b"EHLO": b"250 localhost", b"DATA": b"354 end with a dot", b"QUIT": b"221 bye"}


class Channels:
    """Texts that arrived, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.smarthost = ""
        self.received: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Accept a notification of PagerDuty, Slack, WeCom or a webhook."""
        if request.method == "POST":
            self.received.append(await request.text())
        return web.json_response({"errcode": 0, "access_token": "not-a-token", "status": "success"})

    async def mail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accept mails of one connection."""
        writer.write(b"220 localhost\r\n")
        async for line in reader:
            command = line[:4].strip().upper()
            writer.write(REPLIES.get(command, b"250 ok") + b"\r\n")
            if command == b"DATA":
                self.received.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                writer.write(b"250 ok\r\n")
        writer.close()

    def redirect(self, receiver: dict[str, Any]) -> None:
        """Replace the addresses of a receiver, and only these."""
        loopback: dict[str, dict[str, Any]] = {
            "webhook_configs": {"url": self.url},
            "pagerduty_configs": {"url": self.url},
            "slack_configs": {"api_url": self.url, "api_url_file": None},
            "wechat_configs": {"api_url": f"{self.url}/"},
            "email_configs": {
                "smarthost": self.smarthost,
                "require_tls": False,
                "auth_username": None,
                "auth_password_file": None,
            },
        }
        for kind in receiver.keys() - {"name"}:
            for channel in receiver[kind]:
                channel.update(loopback[kind])


@asynccontextmanager
async def listening() -> AsyncIterator[Channels]:
    """Provide both servers on free ports."""
    channels = Channels()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", channels.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        channels.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with await asyncio.start_server(channels.mail, "127.0.0.1", 0) as server:
            channels.smarthost = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield channels
    finally:
        await runner.cleanup()
