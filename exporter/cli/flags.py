"""Table of commands, flags, environment variables and defaults. `arguments` builds the parser from it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from exporter.config.sections import seconds
from exporter.logs import FORMATS, LEVELS
from exporter.web.addresses import listen_address

MAX_FACTOR: Final = 1e6
MAX_INTEGER: Final = 2**63 - 1
"""Maximum count or ID in MMS, a signed 64-bit integer."""
ENVIRONMENT_PREFIX: Final = "MMS_EXPORTER_"

COMMANDS: Final = {
    "serve": "poll MMS and serve metrics; the default command",
    "once": "refresh once, print the metrics, and exit 1 if anything failed",
    "sources": "list data sources and their progress, read live from MMS",
    "jobs": "list jobs and their progress, read live from MMS; by default unfinished and failed jobs",
    "failed": "list failed tables and partitions, read live from MMS",
    "show": "show every field of one table, partition or job, read live from MMS",
    "retry": "create jobs that migrate failed tables and partitions again; asks for confirmation first",
    "check": "test a configuration against MMS with read-only calls: network, clock, credentials, permissions",
    "config": "print the effective configuration with secrets hidden, or the JSON Schema of the file",
    "probe": "check the health of an exporter on this machine; exit 1 if it is not healthy",
    "demo": "simulate a migration and serve its metrics; needs no account and no configuration",
    "simulate": "run only the simulated MMS",
}


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that accepts only `words`."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return parse


def switch(text: str) -> bool:
    """Parse the value of a switch. Raises: ValueError."""
    if text.lower() not in ("true", "1", "false", "0"):
        raise ValueError("expected true or false")
    return text.lower() in ("true", "1")


def integer(text: str) -> int:
    """Parse a whole number, 0 or more. Raises: ValueError."""
    if not text.isascii() or not text.isdigit():
        raise ValueError("expected a whole number")
    if len(text.lstrip("0")) > len(str(MAX_INTEGER)) or int(text) > MAX_INTEGER:
        raise ValueError(f"expected a whole number of at most {MAX_INTEGER}")
    return int(text)


def name_or_id(text: str) -> str:
    """Return the text; digits must be a valid id. Raises: ValueError."""
    if text.isascii() and text.isdigit():
        integer(text)
    return text


def positive_number(text: str) -> float:
    """Parse a number above 0. Raises: ValueError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_FACTOR:
        raise ValueError(f"expected a number above 0 and at most {MAX_FACTOR:g}")
    return value


def interval(text: str) -> float:
    """Parse a duration of at least 1 second. Raises: ValueError."""
    if (duration := seconds(text)) < 1:
        raise ValueError("expected at least 1s")
    return duration


def url_path(text: str) -> str:
    """Parse a URL path. Raises: ValueError."""
    if not text.startswith("/") or not text.isprintable() or set(text) & set("{}?# "):
        raise ValueError("expected a path such as /metrics")
    if text.startswith(("/-/", "/api/")):
        raise ValueError("expected a path outside /-/ and /api/")
    return text


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; `name` has no dashes."""

    name: str
    help: str
    commands: tuple[str, ...]
    default: str | None = None
    parse: Callable[[str], Any] = str
    metavar: str = "TEXT"
    defaults: tuple[tuple[str, str], ...] = ()
    """Defaults that differ for single commands."""
    is_repeatable: bool = False
    """Whether it may be given several times; its value is a list. The variable separates values with commas."""
    has_variable: bool = True
    """Whether an environment variable can set it; not flags that select or confirm the work of one run."""

    @property
    def is_switch(self) -> bool:
        """Whether the flag takes no value."""
        return self.parse is switch

    @property
    def variable(self) -> str | None:
        """The environment variable; None if there is none."""
        if not self.has_variable:
            return None
        return ENVIRONMENT_PREFIX + self.name.upper().replace(".", "_").replace("-", "_")

    def default_for(self, command: str) -> str | None:
        """Return the default for one command."""
        return dict(self.defaults).get(command, self.default)


@dataclass(frozen=True, slots=True)
class Positional:
    """A required positional argument of a command."""

    name: str
    help: str
    command: str
    parse: Callable[[str], Any] = str


_QUERY: Final = ("sources", "jobs", "failed", "show")
"""Commands that query MMS and print the result, except `check`."""
_WITH_CONFIG: Final = ("serve", "once", *_QUERY, "retry", "check", "config")
_POLL: Final = ("serve", "once")
_WEB: Final = ("serve", "demo")
_SIMULATOR: Final = ("demo", "simulate")

_LOG_LEVELS: Final = tuple((command, "warning") for command in (*_QUERY, "retry", "check"))

_command_flag = partial(Flag, has_variable=False)
_selector = partial(_command_flag, is_repeatable=True)

_SELECTION_FLAGS: Final = (
    _selector("account", "Select this account. Repeatable.", (*_QUERY, "check"), metavar="NAME"),
    _selector("source", "Select this data source, by name or ID. Repeatable.", _QUERY, metavar="NAME"),
    _selector("database", "Select this source database. Repeatable.", ("jobs", "failed"), metavar="NAME"),
    _selector(
        "table", "Select this table, as TABLE or DATABASE.TABLE. Repeatable.", ("jobs", "failed"), metavar="NAME"
    ),
    _selector("status", "Select this MMS status, such as FAILED. Repeatable.", ("sources", "jobs"), metavar="STATUS"),
    _command_flag("limit", "Maximum rows of each kind per data source.", ("jobs", "failed"), "100", integer, "NUMBER"),
    _command_flag(
        "output",
        "Output format: table, json or csv.",
        (*_QUERY, "check"),
        "table",
        one_of("table", "json", "csv"),
        "FORMAT",
    ),
)

_RETRY_FLAGS: Final = (
    _command_flag("account", "Account, if several have the data source.", ("retry",), metavar="NAME"),
    _command_flag("source", "Data source, by name or ID.", ("retry",), metavar="NAME"),
    _command_flag("failed", "Retry everything that failed in the data source.", ("retry",), "false", switch),
    _selector(
        "table", "Retry this failed table, by ID or DATABASE.TABLE. Repeatable.", ("retry",), None, name_or_id, "TABLE"
    ),
    _selector("partition", "Retry this failed partition. Repeatable.", ("retry",), None, integer, "ID"),
    _selector("job", "Retry what failed in this job, with its settings. Repeatable.", ("retry",), None, integer, "ID"),
    _command_flag("dry-run", "Print the requests without sending them.", ("retry",), "false", switch),
    _command_flag("yes", "Do not ask for confirmation.", ("retry",), "false", switch),
    _command_flag("watch", "Wait until the jobs end; exit 0 only if everything is DONE.", ("retry",), "false", switch),
    _command_flag("resume", "Resume an interrupted run from its journal.", ("retry",), metavar="FILE"),
    _command_flag("resend", "With --resume: send jobs again that no list of MMS shows.", ("retry",), "false", switch),
    _command_flag(
        "settle", "Maximum lag of MMS lists and statuses behind jobs.", ("retry",), "5m", interval, "DURATION"
    ),
)

FLAGS: Final = (
    Flag("config.file", "Configuration file (YAML).", _WITH_CONFIG, metavar="FILE"),
    Flag("config.check", "Validate the configuration and exit.", ("serve",), "false", switch),
    Flag("config.auto-reload", "Reload when one of the configuration files changes.", ("serve",), "false", switch),
    Flag(
        "config.auto-reload-interval",
        "How often --config.auto-reload checks for changes.",
        ("serve",),
        "30s",
        interval,
        "DURATION",
    ),
    Flag("mms.region", "Region of the account `default`, instead of a configuration file.", _WITH_CONFIG),
    Flag("output", "Write to this file atomically instead of standard output (-).", ("once",), metavar="FILE"),
    Flag(
        "shard.index",
        "Index of this exporter among the shards, from 0.",
        _POLL,
        "0",
        integer,
        "NUMBER",
    ),
    Flag("shard.total", "Number of exporters that share the data sources.", _POLL, "1", integer, "NUMBER"),
    Flag(
        "web.listen-address",
        "Listen address, host:port or :port. Repeatable; the variable separates addresses with commas.",
        (*_WEB, "probe"),
        ":10180",
        listen_address,
        "ADDRESS",
        (("demo", "127.0.0.1:10180"),),
        is_repeatable=True,
    ),
    Flag(
        "web.systemd-socket",
        "Use systemd socket activation instead of --web.listen-address.",
        ("serve",),
        "false",
        switch,
    ),
    Flag("web.telemetry-path", "URL path of the metrics.", _WEB, "/metrics", url_path, "PATH"),
    Flag(
        "web.config.file",
        "Web configuration file (YAML) for TLS, basic auth, headers and rate limit, as in the exporter-toolkit.",
        ("serve",),
        metavar="FILE",
    ),
    Flag("web.enable-lifecycle", "Enable /-/reload.", _WEB, "false", switch),
    Flag(
        "simulator.listen-address",
        "Listen address of the simulated MMS.",
        _SIMULATOR,
        "127.0.0.1:10181",
        listen_address,
    ),
    Flag(
        "simulator.seed",
        "Random seed; the same seed gives the same migration.",
        _SIMULATOR,
        "1",
        integer,
        "NUMBER",
    ),
    Flag("simulator.speed", "Simulated seconds per real second.", _SIMULATOR, "60", positive_number, "FACTOR"),
    Flag("simulator.sources", "Number of data sources.", _SIMULATOR, "12", integer, "NUMBER"),
    Flag("simulator.latency", "Delay of each response.", _SIMULATOR, "0s", seconds, "DURATION"),
    Flag(
        "simulator.stopped",
        "Whether lists by status have stopped jobs and tasks: listed or hidden.",
        _SIMULATOR,
        "listed",
        one_of("listed", "hidden"),
        "MODE",
    ),
    *_SELECTION_FLAGS,
    *_RETRY_FLAGS,
    Flag(
        "log.level", f"Log level: {', '.join(LEVELS)}.", tuple(COMMANDS), "info", one_of(*LEVELS), "LEVEL", _LOG_LEVELS
    ),
    Flag("log.format", f"Log format: {', '.join(FORMATS)}.", tuple(COMMANDS), "logfmt", one_of(*FORMATS), "FORMAT"),
)

POSITIONALS: Final = (
    Positional("kind", "table, partition or job", "show", one_of("table", "partition", "job")),
    Positional("id", "its ID, as the other commands print it", "show", integer),
    Positional("what", "show or schema", "config", one_of("show", "schema")),
)
