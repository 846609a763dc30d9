"""The command `mms-exporter`: from words and environment to a run, from errors to one line and an exit code.

The outermost room: nothing imports it, and it alone reads the environment. What is heavy is imported by the command
that needs it, so that `--version` and `--help` are quick.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exporter import logs
from exporter import runtime as standard_streams
from exporter.cli import arguments
from exporter.errors import ConfigError, ExporterError, Problem
from exporter.sharding import Shard

if TYPE_CHECKING:
    from exporter.app.serving import WebOptions
    from exporter.cli.demo import SimulatorOptions
    from exporter.config.file_changes import FileStamps
    from exporter.config.loading import Config

T = TypeVar("T")

FINE: Final = 0
FAILED: Final = 1
EXIT_USAGE: Final = 2
INTERRUPTED: Final = 128 + signal.SIGINT
"""After Ctrl-C, as shells count."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line, and return its exit code: 0 fine, 1 failed, 2 bad usage, 130 after Ctrl-C."""
    standard_streams.open_missing_streams()
    code = _code(sys.argv[1:] if words is None else words)
    return code if _print(b"") else code or FAILED


def _code(words: Sequence[str]) -> int:
    try:
        invocation = arguments.parse(words, os.environ)
        logs.configure(invocation.values["log.level"], invocation.values["log.format"])
        return _COMMANDS[invocation.command](invocation.values)
    except ConfigError as error:
        for problem in error.problems:
            _print_error(problem)
        return EXIT_USAGE
    except ExporterError as error:
        _print_error(error)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except asyncio.CancelledError:
        return FAILED
    except SystemExit as ended:  # of argparse, which has said what there is to say
        return EXIT_USAGE if ended.code else FINE


def _print_error(what: object) -> None:
    with suppress(OSError):  # nobody can be told
        print(f"mms-exporter: {what}", file=sys.stderr)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` does; Ctrl-C cancels it."""
    before = signal.getsignal(signal.SIGINT)
    with asyncio.Runner() as runner:
        runner.get_loop()
        try:
            if before is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio replaces no other
            return runner.run(work)
        finally:
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, before)


def _serve(values: Mapping[str, Any]) -> int:
    _ignore_hang_ups()
    load, shard = partial(_config, values), _shard(values)
    from exporter.app.service import Service
    from exporter.app.serving import check, serve
    from exporter.exposition.telemetry import Telemetry
    from exporter.process_memory import freeze_startup_objects, limit_malloc_arenas

    if values["config.check"]:
        count = check(load, _web_file(values))
        said = f"the configuration is valid: {count} account{'s' if count > 1 else ''}\n"
        return FINE if _print(said.encode()) else FAILED
    freeze_startup_objects()
    if "MALLOC_ARENA_MAX" not in os.environ:  # who sets that has decided
        limit_malloc_arenas()
    _run(serve(load, Service(Telemetry(), shard=shard), _web_options(values)))
    return FINE


def _once(values: Mapping[str, Any]) -> int:
    from exporter.app.one_shot import refresh_once
    from exporter.files import write_atomically

    content, is_fine = _run(refresh_once(_config(values), _shard(values)))
    output = values["output"] or "-"
    try:
        if output == "-":
            return FINE if _print(content) and is_fine else FAILED
        _ignore_signals_that_end()
        write_atomically(Path(output), content)
    except OSError as error:
        _print_error(f"cannot write {output}: {error.strerror}")
        return FAILED
    return FINE if is_fine else FAILED


def _print(content: bytes) -> bool:
    """Write to standard output, and return whether that went well: all is out, or who reads has enough."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries once more at its end
        if not isinstance(error, BrokenPipeError):
            _print_error(f"cannot write to standard output: {error.strerror}")
            return False
    return True


def _look(command: str, values: Mapping[str, Any]) -> int:
    from exporter.console.commands import report_of
    from exporter.console.options import Options
    from exporter.console.output_style import OutputStyle
    from exporter.console.printing import printed

    options = Options.of(values)
    report = _run(report_of(command, _config(values), options))
    is_printed = _print(printed(report, options.output, OutputStyle.of(sys.stdout, os.environ)))
    for remark in report.remarks():
        _print_error(remark)
    return FINE if is_printed and report.succeeded else FAILED


def _retry(values: Mapping[str, Any]) -> int:
    from exporter.console.output_style import OutputStyle
    from exporter.console.retry_command import retry
    from exporter.console.retry_options import RetryOptions
    from exporter.console.terminal import Terminal

    home = Path(os.environ.get("XDG_STATE_HOME") or "")
    folder = home if home.is_absolute() else Path.home() / ".local" / "state"
    options = RetryOptions.of(values, folder / "mms-exporter")
    terminal = Terminal(sys.stdin, sys.stderr, OutputStyle.of(sys.stderr, os.environ))
    outcome = _run(_until_told(retry(_config(values), options, terminal)))
    return FINE if _print(outcome.output) and outcome.succeeded else FAILED


async def _until_told(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` does; a signal that ends a process, or a terminal that is closed, ends it as Ctrl-C does."""
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        # What is ignored from the start, as after `nohup`, is meant to be.
        if task is not None and signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work


def _config_text(values: Mapping[str, Any]) -> int:
    from exporter.config.config_text import effective_text, schema_text

    text = schema_text() if values["what"] == "schema" else effective_text(_config(values))
    return FINE if _print(text.encode()) else FAILED


def _probe(values: Mapping[str, Any]) -> int:
    from exporter.cli.healthcheck import health_error

    trouble = health_error(values["web.listen-address"][0])
    if trouble is None:
        return FINE
    _print_error(trouble)
    return FAILED


def _ignore_hang_ups() -> None:
    """Have SIGHUP, which asks to reload, not end a process that has not loaded anything yet."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _ignore_signals_that_end() -> None:
    """Have none end a process that has but a file left to write, half of which would stay there."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _demo(values: Mapping[str, Any]) -> int:
    _ignore_hang_ups()
    from exporter.cli.demo import demo

    _run(demo(_simulator_options(values), _web_options(values)))
    return FINE


def _simulate(values: Mapping[str, Any]) -> int:
    from exporter.cli.demo import simulate

    _run(simulate(_simulator_options(values)))
    return FINE


_COMMANDS: Final[Mapping[str, Callable[[Mapping[str, Any]], int]]] = {
    "serve": _serve,
    "once": _once,
    "sources": partial(_look, "sources"),
    "jobs": partial(_look, "jobs"),
    "failed": partial(_look, "failed"),
    "show": partial(_look, "show"),
    "retry": _retry,
    "check": partial(_look, "check"),
    "config": _config_text,
    "probe": _probe,
    "demo": _demo,
    "simulate": _simulate,
}


def _config(values: Mapping[str, Any]) -> "Config":
    """Return the configuration that the flags name. Raises: ConfigError."""
    from exporter.config.environment_proxies import with_proxies
    from exporter.config.loading import load, region_only

    file, region = values["config.file"], values["mms.region"]
    if file is not None and region is not None:
        raise ConfigError(Problem("--mms.region", "cannot be combined with --config.file; set only one of them"))
    if file is not None:
        return with_proxies(load(Path(file)), os.environ)
    if region is None:
        raise ConfigError(Problem("", "set --config.file or --mms.region, or try: mms-exporter demo"))
    return with_proxies(region_only(region), os.environ)


def _shard(values: Mapping[str, Any]) -> Shard:
    """Return which of the data sources are this exporter's. Raises: ConfigError."""
    index, total = values["shard.index"], values["shard.total"]
    if index >= total:
        raise ConfigError(Problem("--shard.index", f"expected less than --shard.total, {total}"))
    return Shard(index, total)


def _web_options(values: Mapping[str, Any]) -> "WebOptions":
    from exporter.app.serving import WebOptions
    from exporter.app.systemd import inherited_sockets, supervisor

    return WebOptions(
        values["web.listen-address"],
        values["web.telemetry-path"],
        enable_lifecycle=values["web.enable-lifecycle"],
        config_file=_web_file(values),
        look=_look_at_files(values),
        reload_interval_seconds=values.get("config.auto-reload-interval", 0),
        sockets=inherited_sockets(os.environ, os.getpid()) if values.get("web.systemd-socket") else (),
        supervisor=supervisor(os.environ, os.getpid()),
    )


def _web_file(values: Mapping[str, Any]) -> Path | None:
    return Path(file) if (file := values.get("web.config.file")) is not None else None


def _look_at_files(values: Mapping[str, Any]) -> "Callable[[], FileStamps] | None":
    """Return a function for the stamps of the configuration's files, if they are followed. Raises: ConfigError."""
    from exporter.config.file_changes import config_files, stamps_of

    if not values.get("config.auto-reload"):
        return None
    if values["config.file"] is None:
        raise ConfigError(Problem("--config.auto-reload", "requires --config.file"))
    path = Path(values["config.file"])
    return lambda: stamps_of(config_files(path))


def _simulator_options(values: Mapping[str, Any]) -> "SimulatorOptions":
    from exporter.cli.demo import SimulatorOptions

    return SimulatorOptions(
        address=values["simulator.listen-address"],
        seed=values["simulator.seed"],
        speed=values["simulator.speed"],
        sources=values["simulator.sources"],
        latency_seconds=values["simulator.latency"],
    )
