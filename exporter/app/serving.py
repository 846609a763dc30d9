"""The serving process: listening, signals, reload and shutdown."""

import asyncio
import errno
import ipaddress
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, cast

import structlog
from aiohttp import web

from exporter import __revision__, __version__
from exporter.app.reloading import Reloader, attempt
from exporter.app.service import Service
from exporter.app.systemd import NO_SUPERVISOR, Supervisor
from exporter.config.file_changes import FileStamps
from exporter.config.loading import Config
from exporter.config.network import ListenAddress
from exporter.errors import ConfigError, ListenError
from exporter.runtime import DAEMON_THREADS
from exporter.web.handlers import application
from exporter.web.listener import Listener, bound_sockets
from exporter.web.middleware import add_middleware
from exporter.web.security.web_config_watcher import WebConfigWatcher
from exporter.web.status.page import Links

log = structlog.stdlib.get_logger()

SHUTDOWN_SECONDS: Final = 0.5
"""Timeout for running requests. aiohttp waits twice, and the process should exit within 2 s."""


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Options of the HTTP server."""

    addresses: Sequence[ListenAddress]
    telemetry_path: str = "/metrics"
    links: Links = field(default_factory=Links)
    enable_lifecycle: bool = False
    config_file: Path | None = None
    """The web configuration file; None for plain HTTP without users."""
    read_stamps: Callable[[], FileStamps] | None = None
    """Returns the stamps of the configuration files, to reload after a change; None disables auto-reload."""
    reload_interval_seconds: float = 30.0
    """Time between two checks of the files."""
    sockets: Sequence[socket.socket] = ()
    """Listening sockets, used instead of addresses."""
    supervisor: Supervisor = NO_SUPERVISOR


async def serve(
    load: Callable[[], Config],
    service: Service,
    options: WebOptions,
    on_listening: Callable[[list[str]], Awaitable[None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads.

    `on_listening` is called with the URLs. Further SIGTERM and SIGINT are ignored until the process exits.
    Raises: ConfigError from the first `load` and from the web configuration file; ListenError.
    """
    asyncio.get_running_loop().set_default_executor(DAEMON_THREADS)
    reloader = Reloader(load, service, options.read_stamps or dict, options.supervisor)
    with _on_signals({signal.SIGHUP: reloader.reload_soon}), ExitStack() as signal_handlers:
        config, web_config = _loaded(reloader.load, options.config_file, service.set_web_load_status)
        reload = reloader.reload if options.enable_lifecycle else None
        app = application(service, options.telemetry_path, reload, options.links)
        add_middleware(app, web_config)
        try:
            async with _listening(app, web_config, options) as urls:
                stop = asyncio.Event()
                stop_handlers = {signal.SIGTERM: stop.set, signal.SIGINT: stop.set}
                signal_handlers.enter_context(_on_signals(stop_handlers, afterwards=signal.SIG_IGN))
                await reloader.start(config, web_config)
                if options.read_stamps is not None:
                    reloader.watch_files(options.reload_interval_seconds)
                names = " ".join(account.name for account in config.accounts)
                version = {"version": __version__, "revision": __revision__}
                log.info("listening", urls=" ".join(urls), accounts=names, **version)
                if on_listening is not None:
                    await on_listening(urls)
                async with options.supervisor.notifying(lambda: service.is_healthy):
                    await stop.wait()
                log.info("shutdown started")
        finally:
            await reloader.close()
            await service.close()


@asynccontextmanager
async def _listening(
    app: web.Application, web_config: WebConfigWatcher, options: WebOptions
) -> AsyncIterator[list[str]]:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    listener = Listener(cast("web.Server", runner.server), web_config)
    try:
        listener.open(options.sockets)
        await listen(listener, () if options.sockets else options.addresses)
        scheme = "http" if web_config.settings.context is None else "https"
        yield [f"{url}{options.links.route_prefix}" for url in _urls(listener, scheme)]
    finally:
        await listener.close()
        await runner.cleanup()


def check(load: Callable[[], Config], web_file: Path | None) -> int:
    """Validate both configurations; return the number of accounts. Raises: ConfigError."""
    return len(_loaded(load, web_file)[0].accounts)


def _loaded(
    load: Callable[[], Config], web_file: Path | None, on_web_load: Callable[[bool], None] = lambda _: None
) -> tuple[Config, WebConfigWatcher]:
    web_config, web_problems = attempt(partial(WebConfigWatcher, web_file, on_web_load))
    config, problems = attempt(load)
    if config is None or web_config is None:
        raise ConfigError(*web_problems, *problems)
    return config, web_config


async def listen(listener: Listener, addresses: Sequence[ListenAddress]) -> None:
    """Listen on every address. Raises: ListenError."""
    for address in addresses:
        try:
            listener.open(await bound_sockets(address))
        except UnicodeError as error:
            raise listen_error(address, "unknown host name") from error
        except OSError as error:
            # Since Python 3.13, asyncio leaves out the number of this error.
            number = error.errno or errno.EADDRNOTAVAIL
            reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(number)
            raise listen_error(address, reason or str(error)) from error
        except OverflowError as error:
            raise listen_error(address, "invalid port") from error


def listen_error(address: ListenAddress, reason: str, of_what: str = "web") -> ListenError:
    """Return the error of an address, with the flag and the variable that change it."""
    setting = f"--{of_what}.listen-address or MMS_EXPORTER_{of_what.upper()}_LISTEN_ADDRESS"
    return ListenError(f"cannot listen on {address}: {reason}; set another address with {setting}")


def _urls(listener: Listener, scheme: str) -> list[str]:
    return sorted({_url(scheme, *address) for address in listener.addresses})


def _url(scheme: str, host: str, port: int) -> str:
    if ipaddress.ip_address(host).is_unspecified:
        return f"{scheme}://localhost:{port}"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextmanager
def _on_signals(
    handlers: Mapping[signal.Signals, Callable[[], None]], afterwards: signal.Handlers | None = None
) -> Iterator[None]:
    # Restores the previous handlers on exit, or sets `afterwards`.
    loop = asyncio.get_running_loop()
    previous = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number, previous_handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, previous_handler if afterwards is None else afterwards)
