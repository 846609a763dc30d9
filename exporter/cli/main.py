"""The command `mms-exporter`: runs a command line and turns errors into a message and an exit code.

Only this module reads the environment; nothing imports it. Commands import heavy modules themselves, to keep
`--version` and `--help` fast.
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

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
"""Exit code after Ctrl-C: 128 + SIGINT, as in shells."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    standard_streams.open_missing_streams()
    code = _exit_code(sys.argv[1:] if argv is None else argv)
    return code if _print(b"") else code or EXIT_FAILED


def _exit_code(argv: Sequence[str]) -> int:
    try:
        invocation = arguments.parse(argv, os.environ)
        logs.configure(invocation.values["log.level"], invocation.values["log.format"])
        return _COMMANDS[invocation.command](invocation.values)
    except ConfigError as error:
        for problem in error.problems:
            _print_error(problem)
        return EXIT_USAGE
    except ExporterError as error:
        _print_error(error)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except asyncio.CancelledError:
        return EXIT_FAILED
    except SystemExit as error:  # argparse has printed the error
        return EXIT_USAGE if error.code else EXIT_OK


def _print_error(error: object) -> None:
    with suppress(OSError):  # standard error is closed
        print(f"mms-exporter: {error}", file=sys.stderr)


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    # Ctrl-C cancels the coroutine.
    previous = signal.getsignal(signal.SIGINT)
    with asyncio.Runner() as runner:
        runner.get_loop()
        try:
            if previous is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio replaces only this handler
            return runner.run(coroutine)
        finally:
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, previous)


def _serve(values: Mapping[str, Any]) -> int:
    _ignore_sighup()
    load, shard = partial(_config, values), _shard(values)
    from exporter.app.service import Service
    from exporter.app.serving import check, serve
    from exporter.exposition.telemetry import Telemetry
    from exporter.process_memory import freeze_startup_objects, limit_malloc_arenas

    if values["config.check"]:
        count = check(load, _web_file(values))
        message = f"the configuration is valid: {count} account{'s' if count > 1 else ''}\n"
        return EXIT_OK if _print(message.encode()) else EXIT_FAILED
    freeze_startup_objects()
    if "MALLOC_ARENA_MAX" not in os.environ:  # set: the user has chosen
        limit_malloc_arenas()
    _run(serve(load, Service(Telemetry(), shard=shard), _web_options(values)))
    return EXIT_OK


def _once(values: Mapping[str, Any]) -> int:
    from exporter.app.one_shot import refresh_once
    from exporter.files import write_atomically

    content, success = _run(refresh_once(_config(values), _shard(values)))
    output = values["output"] or "-"
    try:
        if output == "-":
            return EXIT_OK if _print(content) and success else EXIT_FAILED
        _ignore_termination()
        write_atomically(Path(output), content)
    except OSError as error:
        _print_error(f"cannot write {output}: {error.strerror}")
        return EXIT_FAILED
    return EXIT_OK if success else EXIT_FAILED


def _print(content: bytes) -> bool:
    # False after an error, which is printed.
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python flushes again at exit
        if not isinstance(error, BrokenPipeError):  # the reader has stopped, like `head`
            _print_error(f"cannot write to standard output: {error.strerror}")
            return False
    return True


def _query(command: str, values: Mapping[str, Any]) -> int:
    from exporter.console.commands import report_of
    from exporter.console.options import Options
    from exporter.console.output_style import OutputStyle
    from exporter.console.printing import printed

    options = Options.of(values)
    report = _run(report_of(command, _config(values), options))
    is_printed = _print(printed(report, options.output, OutputStyle.of(sys.stdout, os.environ)))
    for remark in report.remarks():
        _print_error(remark)
    return EXIT_OK if is_printed and report.succeeded else EXIT_FAILED


def _retry(values: Mapping[str, Any]) -> int:
    from exporter.console.output_style import OutputStyle
    from exporter.console.retry_command import retry
    from exporter.console.retry_options import RetryOptions
    from exporter.console.terminal import Terminal

    home = Path(os.environ.get("XDG_STATE_HOME") or "")
    folder = home if home.is_absolute() else Path.home() / ".local" / "state"
    options = RetryOptions.of(values, folder / "mms-exporter")
    terminal = Terminal(sys.stdin, sys.stderr, OutputStyle.of(sys.stderr, os.environ))
    outcome = _run(_cancelled_by_signals(retry(_config(values), options, terminal)))
    return EXIT_OK if _print(outcome.output) and outcome.succeeded else EXIT_FAILED


async def _cancelled_by_signals(coroutine: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Signals that the parent ignores, as `nohup` does, stay ignored.
        if task is not None and signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await coroutine


def _config_text(values: Mapping[str, Any]) -> int:
    from exporter.config.config_text import effective_text, schema_text

    text = schema_text() if values["what"] == "schema" else effective_text(_config(values))
    return EXIT_OK if _print(text.encode()) else EXIT_FAILED


def _probe(values: Mapping[str, Any]) -> int:
    from exporter.cli.healthcheck import unhealthy_reason

    reason = unhealthy_reason(values["web.listen-address"][0])
    if reason is None:
        return EXIT_OK
    _print_error(reason)
    return EXIT_FAILED


def _ignore_sighup() -> None:
    # SIGHUP reloads: it must not end the process before its handler is installed.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _ignore_termination() -> None:
    # A signal while the file is written would leave a temporary file.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _demo(values: Mapping[str, Any]) -> int:
    _ignore_sighup()
    from exporter.cli.demo import demo

    _run(demo(_simulator_options(values), _web_options(values)))
    return EXIT_OK


def _simulate(values: Mapping[str, Any]) -> int:
    from exporter.cli.demo import simulate

    _run(simulate(_simulator_options(values)))
    return EXIT_OK


_COMMANDS: Final[Mapping[str, Callable[[Mapping[str, Any]], int]]] = {
    "serve": _serve,
    "once": _once,
    "sources": partial(_query, "sources"),
    "jobs": partial(_query, "jobs"),
    "failed": partial(_query, "failed"),
    "show": partial(_query, "show"),
    "retry": _retry,
    "check": partial(_query, "check"),
    "config": _config_text,
    "probe": _probe,
    "demo": _demo,
    "simulate": _simulate,
}


def _config(values: Mapping[str, Any]) -> "Config":
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
    index, total = values["shard.index"], values["shard.total"]
    if index >= total:
        raise ConfigError(Problem("--shard.index", f"expected less than --shard.total, {total}"))
    return Shard(index, total)


def _web_options(values: Mapping[str, Any]) -> "WebOptions":
    from exporter.app.serving import WebOptions
    from exporter.app.systemd import inherited_sockets, supervisor_from

    return WebOptions(
        values["web.listen-address"],
        values["web.telemetry-path"],
        enable_lifecycle=values["web.enable-lifecycle"],
        config_file=_web_file(values),
        read_stamps=_stamps_reader(values),
        reload_interval_seconds=values.get("config.auto-reload-interval", 0),
        sockets=inherited_sockets(os.environ, os.getpid()) if values.get("web.systemd-socket") else (),
        supervisor=supervisor_from(os.environ, os.getpid()),
    )


def _web_file(values: Mapping[str, Any]) -> Path | None:
    return Path(file) if (file := values.get("web.config.file")) is not None else None


def _stamps_reader(values: Mapping[str, Any]) -> "Callable[[], FileStamps] | None":
    # None without auto-reload.
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
        hides_stopped=values["simulator.stopped"] == "hidden",
    )
