"""The commands. A command imports what it needs itself, to keep `--version` and `--help` fast."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from exporter.cli import flags
from exporter.cli.execution import (
    config_of,
    ignore_sighup,
    print_error,
    print_output,
    route_prefix_of,
    run,
    shard_of,
    simulator_options_of,
    web_options_of,
)
from exporter.cli.flags import (
    Action,
    Argument,
    Command,
    Flag,
    OneOf,
    Values,
    id_or_name,
    interval,
    name_or_id,
    one_run_flag,
    output_file,
    selector,
    switch,
)
from exporter.errors import ExporterError

if TYPE_CHECKING:
    from exporter.clock import Clock
    from exporter.config.loading import Config
    from exporter.console.output.command_report import CommandReport
    from exporter.console.selection.queries import Options

T = TypeVar("T")

COMMANDS: Final[dict[str, Command]] = {}
"""By name, in the order of the help."""


def command(*own_flags: Flag, arguments: tuple[Argument, ...] = ()) -> Callable[[Action], Action]:
    """Declare a command: its name is that of the function, its help is the docstring."""

    def declare(action: Action) -> Action:
        COMMANDS[action.__name__] = Command(action.__name__, action.__doc__ or "", action, own_flags, arguments)
        return action

    return declare


@command(
    *flags.CONFIG,
    Flag("config.check", "Validate the configuration and exit.", "false", switch),
    Flag("config.auto-reload", "Reload when one of the configuration files changes.", "false", switch),
    Flag(
        "config.auto-reload-interval",
        "How often --config.auto-reload checks for changes.",
        *("30s", interval, "DURATION"),
    ),
    *flags.SHARD,
    flags.LISTEN,
    Flag("web.systemd-socket", "Use systemd socket activation instead of --web.listen-address.", "false", switch),
    Flag(
        "web.config.file",
        "Web configuration file (YAML) for TLS, basic auth, headers and rate limit, as in the exporter-toolkit.",
        *(None, Path, "FILE"),
    ),
    *flags.WEB,
    *flags.LOG,
)
def serve(values: Values) -> bool:
    """Poll MMS and serve metrics; the default command."""
    ignore_sighup()
    load, shard = partial(config_of, values), shard_of(values)
    from exporter.app.service import Service
    from exporter.app.serving import check, serve
    from exporter.exposition.telemetry import Telemetry
    from exporter.process_memory import freeze_startup_objects, limit_malloc_arenas

    if values["config.check"]:
        count = check(load, values["web.config.file"])
        return print_output(f"the configuration is valid: {count} account{'s' if count > 1 else ''}\n".encode())
    freeze_startup_objects()
    if "MALLOC_ARENA_MAX" not in os.environ:  # set: the user has chosen
        limit_malloc_arenas()
    run(serve(load, Service(Telemetry(), shard=shard), web_options_of(values)))
    return True


@command(
    *flags.CONFIG,
    Flag("output", "Write to this file atomically instead of standard output (-).", None, output_file, "FILE"),
    *flags.SHARD,
    *flags.LOG,
)
def once(values: Values) -> bool:
    """Refresh once, print the metrics, and exit 1 if anything failed."""
    from exporter.app.service import refresh_once
    from exporter.files import write_atomically

    content, success = run(refresh_once(config_of(values), shard_of(values)))
    output = values["output"] or "-"
    if output == "-":
        return print_output(content) and success
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a signal while the file is written would leave a temporary file
    try:
        write_atomically(Path(output), content)
    except OSError as error:
        raise ExporterError(f"cannot write {output}: {error.strerror}") from None
    return success


@command(
    *(
        *flags.CONFIG,
        flags.ACCOUNT,
        flags.SOURCE,
        flags.SOURCE_STATUS,
        flags.ABSOLUTE_TIMES,
        flags.OUTPUT,
        *flags.QUIET_LOG,
    ),
)
def sources(values: Values) -> bool:
    """List data sources and their progress, read live from MMS."""
    from exporter.console.source_list import sources

    return _query(values, sources)


@command(
    *(*flags.CONFIG, flags.ACCOUNT, flags.SOURCE, flags.NAMES[0], flags.DATABASE_STATUS, flags.LIMIT),
    *(flags.OUTPUT, *flags.QUIET_LOG),
)
def databases(values: Values) -> bool:
    """List databases, their progress and size, the largest first, read live from MMS."""
    from exporter.console.database_list import databases

    return _query(values, databases)


@command(
    *(*flags.CONFIG, flags.ACCOUNT, flags.SOURCE, *flags.NAMES, flags.JOB_STATUS, flags.LIMIT),
    *(flags.ABSOLUTE_TIMES, flags.OUTPUT, *flags.QUIET_LOG),
)
def jobs(values: Values) -> bool:
    """List jobs and their progress, read live from MMS; by default unfinished and failed jobs."""
    from exporter.console.job_list import jobs

    return _query(values, jobs)


@command(
    *(*flags.CONFIG, flags.ACCOUNT, flags.SOURCE, *flags.NAMES, flags.LIMIT),
    one_run_flag(
        "why", "Group the failures by reason, with the message, a hint and the retry command.", "false", switch
    ),
    *(flags.OUTPUT, *flags.QUIET_LOG),
)
def failed(values: Values) -> bool:
    """List failed tables and partitions, read live from MMS; with --why grouped by reason."""
    from exporter.console.failed import failures
    from exporter.console.failed_why import reasons

    return _query(values, reasons) if values["why"] else _query(values, failures)


@command(
    *(*flags.CONFIG, flags.ACCOUNT, flags.SOURCE, flags.OUTPUT, *flags.QUIET_LOG),
    arguments=(
        Argument("kind", "table, partition, job or task", OneOf("table", "partition", "job", "task")),
        Argument("object", "its ID or, for a table or job, its name, as other commands print them", id_or_name),
    ),
)
def show(values: Values) -> bool:
    """Show every field of one table, partition or job, or the log of one task, read live from MMS."""
    from exporter.console.show import show

    return _query(values, show)


@command(*flags.CONFIG, flags.ACCOUNT, flags.SOURCE, flags.LIMIT, flags.REPORT_OUTPUT, *flags.QUIET_LOG)
def report(values: Values) -> bool:
    """Print the state of a migration for its sign-off, read live from MMS."""
    from exporter.console.report.command import report

    return _query(values, report)


@command(
    *flags.CONFIG,
    one_run_flag("account", "Account, if several have the data source.", metavar="NAME"),
    one_run_flag("source", "Data source, by name, glob or ID.", metavar="NAME"),
    one_run_flag("failed", "Retry everything that failed in the data source.", "false", switch),
    selector("table", "Retry this failed table: TABLE, DATABASE.TABLE or ID. Repeatable.", None, name_or_id, "TABLE"),
    selector("partition", "Retry this failed partition. Repeatable.", None, flags.partition_id, "ID"),
    selector("job", "Retry what failed in this job, with its settings. Repeatable.", None, flags.job_id, "ID"),
    one_run_flag("dry-run", "Print the requests without sending them.", "false", switch),
    one_run_flag("yes", "Do not ask for confirmation.", "false", switch),
    one_run_flag("watch", "Wait until the jobs end; exit 0 only if everything is DONE.", "false", switch),
    one_run_flag("resume", "Resume an interrupted run from its journal.", metavar="FILE"),
    one_run_flag("resend", "With --resume: send jobs again that no list of MMS shows.", "false", switch),
    one_run_flag("settle", "Maximum lag of MMS lists and statuses behind jobs.", "5m", interval, "DURATION"),
    *flags.QUIET_LOG,
)
def retry(values: Values) -> bool:
    """Create jobs that migrate failed tables and partitions again; asks for confirmation first."""
    from exporter.cli.program import next_command_of
    from exporter.console.output.terminal import OutputStyle, Terminal
    from exporter.console.retry_command import retry
    from exporter.console.retry_options import RetryOptions

    home = Path(os.environ.get("XDG_STATE_HOME") or "")
    folder = home if home.is_absolute() else Path.home() / ".local" / "state"
    options = RetryOptions.of(values, folder / "mms-exporter", next_command_of(values))
    terminal = Terminal(sys.stdin, sys.stderr, OutputStyle.of(sys.stderr, os.environ))
    outcome = run(_cancelled_by_signals(retry(config_of(values), options, terminal)))
    return print_output(outcome.output) and outcome.succeeded


@command(*flags.CONFIG, flags.ACCOUNT, flags.OUTPUT, *flags.QUIET_LOG)
def check(values: Values) -> bool:
    """Test a configuration against MMS with read-only calls: network, clock, credentials, permissions."""
    from exporter.console.check import check

    return _query(values, check)


@command(*flags.CONFIG, *flags.LOG, arguments=(Argument("what", "show or schema", OneOf("show", "schema")),))
def config(values: Values) -> bool:
    """Print the effective configuration with secrets hidden, or the JSON Schema of the file."""
    from exporter.config.json_schema import schema_text
    from exporter.config.loading import effective_text

    return print_output((schema_text() if values["what"] == "schema" else effective_text(config_of(values))).encode())


@command(*flags.LOG, arguments=(Argument("shell", "bash, zsh or fish", OneOf("bash", "zsh", "fish")),))
def completion(values: Values) -> bool:
    """Print the completion script of a shell."""
    from exporter.cli.completion import script

    return print_output(script(values["shell"], COMMANDS).encode())


@command(flags.LISTEN, *flags.PREFIX, *flags.LOG)
def probe(values: Values) -> bool:
    """Check the health of an exporter on this machine; exit 1 if it is not healthy."""
    from exporter.cli.healthcheck import unhealthy_reason

    if reason := unhealthy_reason(values["web.listen-address"][0], route_prefix_of(values)):
        raise ExporterError(reason)
    return True


@command(replace(flags.LISTEN, default="127.0.0.1:10180"), *flags.WEB, *flags.SIMULATOR, *flags.LOG)
def demo(values: Values) -> bool:
    """Simulate a migration and serve its metrics; needs no account and no configuration."""
    ignore_sighup()
    from exporter.cli.demo import demo

    run(demo(simulator_options_of(values), web_options_of(values)))
    return True


@command(*flags.SIMULATOR, *flags.LOG)
def simulate(values: Values) -> bool:
    """Run only the simulated MMS."""
    from exporter.cli.demo import simulate

    run(simulate(simulator_options_of(values)))
    return True


FLAGS: Final = tuple(dict.fromkeys(flag for each in COMMANDS.values() for flag in each.flags))
"""Every flag; those with the same name and another help or default belong to other commands."""


def _query(values: Values, read: "Callable[[Config, Options, Clock], Coroutine[Any, Any, CommandReport[Any]]]") -> bool:
    from exporter.cli.program import next_command_of
    from exporter.clock import SYSTEM_CLOCK
    from exporter.console.output.printing import printed
    from exporter.console.output.terminal import OutputStyle
    from exporter.console.selection.queries import Options

    found = run(read(config_of(values), Options.of(values, next_command_of(values)), SYSTEM_CLOCK))
    is_printed = print_output(printed(found, values["output"], OutputStyle.of(sys.stdout, os.environ)))
    for remark in found.remarks():
        print_error(remark)
    return is_printed and found.succeeded


async def _cancelled_by_signals(coroutine: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Signals that the parent ignores, as `nohup` does, stay ignored.
        if task is not None and signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await coroutine
