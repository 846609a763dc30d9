"""What the commands share: standard streams, Ctrl-C, and records made from the values of the command line."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from exporter.cli.flags import Values
from exporter.errors import ConfigError, Problem
from exporter.runtime import DAEMON_THREADS
from exporter.sharding import Shard

if TYPE_CHECKING:
    from exporter.app.serving import WebOptions
    from exporter.cli.demo import SimulatorOptions
    from exporter.config.file_changes import FileStamps
    from exporter.config.loading import Config
    from exporter.web.status.page import Links

T = TypeVar("T")


def print_error(error: object) -> None:
    """Print a line to standard error."""
    with suppress(OSError):  # standard error is closed
        print(f"mms-exporter: {error}", file=sys.stderr)


def print_output(content: bytes) -> bool:
    """Write to standard output; False after an error, which is printed."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python flushes again at exit
        if not isinstance(error, BrokenPipeError):  # the reader has stopped, like `head`
            print_error(f"cannot write to standard output: {error.strerror}")
            return False
    return True


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; Ctrl-C cancels it."""
    previous = signal.getsignal(signal.SIGINT)
    with asyncio.Runner() as runner:
        # With the default executor, the end of the loop would wait for DNS lookups, also after Ctrl-C.
        runner.get_loop().set_default_executor(DAEMON_THREADS)
        try:
            if previous is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio replaces only this handler
            return runner.run(coroutine)
        finally:
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, previous)


def ignore_sighup() -> None:
    """Ignore SIGHUP until its handler is installed."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def config_of(values: Values) -> "Config":
    """Return the configuration. Raises: ConfigError."""
    from exporter.config.environment_proxies import with_proxies
    from exporter.config.loading import load, region_only

    file, region = values["config.file"], values["mms.region"]
    if file is not None and region is not None:
        place, other = values.origins["mms.region"], values.origins["config.file"]
        raise ConfigError(Problem(place, f"cannot be combined with {other}; set only one of them"))
    if file is None and region is None:
        raise ConfigError(Problem("", "set --config.file or --mms.region, or try: mms-exporter demo"))
    return with_proxies(region_only(region) if file is None else load(file), os.environ)


def shard_of(values: Values) -> Shard:
    """Return the shard. Raises: ConfigError."""
    index, total = values["shard.index"], values["shard.total"]
    if index >= total:
        raise ConfigError(Problem("--shard.index", f"expected less than --shard.total, {total}"))
    return Shard(index, total)


def web_options_of(values: Values) -> "WebOptions":
    """Return the options of the web server. Raises: ConfigError."""
    from exporter.app.serving import WebOptions
    from exporter.app.systemd import inherited_sockets, supervisor_from

    return WebOptions(
        values["web.listen-address"],
        values["web.telemetry-path"],
        _links_of(values),
        enable_lifecycle=values["web.enable-lifecycle"],
        config_file=values.get("web.config.file"),
        read_stamps=_stamps_reader(values),
        reload_interval_seconds=values.get("config.auto-reload-interval", 0),
        sockets=inherited_sockets(os.environ, os.getpid()) if values.get("web.systemd-socket") else (),
        supervisor=supervisor_from(os.environ, os.getpid()),
    )


def route_prefix_of(values: Values) -> str:
    """Return the prefix of the URL paths, without a final slash."""
    prefix: str | None = values["web.route-prefix"]
    return urlsplit(values["web.external-url"] or "").path if prefix is None else prefix


def _links_of(values: Values) -> "Links":
    from exporter.web.status.page import Links

    served, external = route_prefix_of(values), values["web.external-url"]
    seen = served if external is None else urlsplit(external).path
    return Links(served, seen, values["web.runbook-url"], values["web.dashboard-url"])


def _stamps_reader(values: Values) -> "Callable[[], FileStamps] | None":
    # None without auto-reload.
    from exporter.config.file_changes import fingerprint

    if not values.get("config.auto-reload"):
        return None
    if values["config.file"] is None:
        raise ConfigError(Problem("--config.auto-reload", "requires --config.file"))
    return lambda: fingerprint(values["config.file"])


def simulator_options_of(values: Values) -> "SimulatorOptions":
    """Return the options of the simulator."""
    from exporter.cli.demo import SimulatorOptions

    names = ("listen-address", "scenario", "seed", "speed", "sources", "latency", "stopped")
    return SimulatorOptions(*(values[f"simulator.{name}"] for name in names))
