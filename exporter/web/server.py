"""The life of a serving process: listen, serve, reload, and end in time when told to."""

import asyncio
import ipaddress
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from exporter.config import Config
from exporter.errors import ConfigError, ListenError
from exporter.threads import DAEMON_THREADS
from exporter.web.addresses import ListenAddress
from exporter.web.handlers import application
from exporter.web.service import Service

log = structlog.stdlib.get_logger()

SHUTDOWN_SECONDS: Final = 0.5
"""How long running scrapes may take to end. aiohttp takes it twice, and the process is to be gone within 2 s."""


@dataclass(frozen=True, slots=True)
class WebOptions:
    """How the HTTP side is set up."""

    addresses: Sequence[ListenAddress]
    telemetry_path: str = "/metrics"
    enable_lifecycle: bool = False


async def serve(
    load: Callable[[], Config],
    service: Service,
    options: WebOptions,
    listening: Callable[[list[str]], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads. `listening` is told the URLs once they can be opened.

    Raises: ConfigError from the first `load`; ListenError.
    """
    asyncio.get_running_loop().set_default_executor(DAEMON_THREADS)
    stop = asyncio.Event()
    reloading = asyncio.Lock()

    async def reload() -> None:
        async with reloading:
            await _reload(load, service)

    config = load()
    app = application(service, options.telemetry_path, reload if options.enable_lifecycle else None)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        urls = await listen(runner, options.addresses)
        with _signals(stop, reload):
            await service.apply(config)
            log.info("listening", urls=" ".join(urls), accounts=len(config.accounts))
            if listening is not None:
                await listening(urls)
            await stop.wait()
            log.info("ending")
    finally:
        await runner.cleanup()
        await service.close()


async def _reload(load: Callable[[], Config], service: Service) -> None:
    """Load and apply anew; what cannot be loaded leaves everything as it is. Raises: ConfigError."""
    try:
        config = await asyncio.to_thread(load)
    except ConfigError as error:
        service.note_failed_reload(error.problems)
        log.warning("configuration not reloaded; the old one stays", problems="; ".join(map(str, error.problems)))
        raise
    await service.apply(config)
    log.info("configuration reloaded", accounts=len(config.accounts))


async def listen(runner: web.AppRunner, addresses: Sequence[ListenAddress]) -> list[str]:
    """Listen on every address, and return the URLs. Raises: ListenError."""
    for address in addresses:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except UnicodeError as error:
            raise ListenError(f"cannot listen on {address}: no such name") from error
        except OSError as error:
            reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise ListenError(f"cannot listen on {address}: {reason}") from error
        except OverflowError as error:
            raise ListenError(f"cannot listen on {address}: no such port") from error
    return sorted({_url(*address[:2]) for address in runner.addresses})


def _url(host: str, port: int) -> str:
    if ipaddress.ip_address(host).is_unspecified:
        return f"http://localhost:{port}"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _signals(stop: asyncio.Event, reload: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Set `stop` on SIGTERM and SIGINT, and call `reload` on SIGHUP, for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    async def reload_quietly() -> None:
        with suppress(ConfigError):
            await reload()

    def hang_up() -> None:
        task = loop.create_task(reload_quietly())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    handlers = {signal.SIGTERM: stop.set, signal.SIGINT: stop.set, signal.SIGHUP: hang_up}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
        for task in reloads:
            task.cancel()
