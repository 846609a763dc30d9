"""The life of a serving process: listen, serve, reload, and end in time when told to."""

import asyncio
import ipaddress
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import structlog
from aiohttp import web

from exporter.config import Config
from exporter.errors import ConfigError, ListenError, Problem
from exporter.threads import DAEMON_THREADS
from exporter.web.addresses import ListenAddress
from exporter.web.entrance import Entrance
from exporter.web.gate import put_gate
from exporter.web.handlers import application
from exporter.web.listener import Listener, bound_sockets
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
    config_file: Path | None = None
    """The web configuration file; None for plain HTTP without users."""


async def serve(
    load: Callable[[], Config],
    service: Service,
    options: WebOptions,
    listening: Callable[[list[str]], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads. `listening` is told the URLs once they can be opened.

    Raises: ConfigError from the first `load` and from the web configuration file; ListenError.
    """
    asyncio.get_running_loop().set_default_executor(DAEMON_THREADS)
    stop = asyncio.Event()
    reloading = asyncio.Lock()

    async def reload() -> None:
        async with reloading:
            await _reload(load, service, entrance)

    config, entrance = _loaded(load, options.config_file, service.note_web_config)
    app = application(service, options.telemetry_path, reload if options.enable_lifecycle else None)
    put_gate(app, entrance)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    listener = Listener(cast("web.Server", runner.server), entrance)
    try:
        urls = await listen(listener, options.addresses, "http" if entrance.settings.context is None else "https")
        with _signals(stop, reload):
            await service.apply(config)
            log.info("listening", urls=" ".join(urls), accounts=len(config.accounts))
            if listening is not None:
                await listening(urls)
            await stop.wait()
            log.info("ending")
    finally:
        await listener.close()
        await runner.cleanup()
        await service.close()


def check(load: Callable[[], Config], options: WebOptions) -> int:
    """Load both configurations and return the number of accounts. Raises: ConfigError with the problems of both."""
    return len(_loaded(load, options.config_file)[0].accounts)


def _loaded(
    load: Callable[[], Config], web_file: Path | None, note_web_load: Callable[[bool], None] = lambda _: None
) -> tuple[Config, Entrance]:
    problems: list[Problem] = []
    try:
        entrance = Entrance(web_file, note_web_load)
    except ConfigError as error:
        problems += error.problems
    try:
        config = load()
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return config, entrance


async def _reload(load: Callable[[], Config], service: Service, entrance: Entrance) -> None:
    """Load and apply both configurations anew; one that cannot be loaded stays as it is. Raises: ConfigError."""
    problems: list[Problem] = []
    try:
        entrance.read()
    except ConfigError as error:
        problems += error.problems
    try:
        config = await asyncio.to_thread(load)
    except ConfigError as error:
        service.note_failed_reload(error.problems)
        log.warning("configuration not reloaded; the old one stays", problems="; ".join(map(str, error.problems)))
        problems += error.problems
    else:
        await service.apply(config)
        log.info("configuration reloaded", accounts=len(config.accounts))
    if problems:
        raise ConfigError(*problems)


async def listen(listener: Listener, addresses: Sequence[ListenAddress], scheme: str) -> list[str]:
    """Listen on every address, and return the URLs. Raises: ListenError."""
    for address in addresses:
        try:
            listener.open(await bound_sockets(address))
        except UnicodeError as error:
            raise ListenError(f"cannot listen on {address}: no such name") from error
        except OSError as error:
            reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
            raise ListenError(f"cannot listen on {address}: {reason}") from error
        except OverflowError as error:
            raise ListenError(f"cannot listen on {address}: no such port") from error
    return sorted({_url(scheme, *address) for address in listener.addresses})


def _url(scheme: str, host: str, port: int) -> str:
    if ipaddress.ip_address(host).is_unspecified:
        return f"{scheme}://localhost:{port}"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


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
