"""The words of the command line: each command, each flag, its environment variable, its default, and what it may be.

One table, from which `arguments` makes parsing and `--help`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from exporter.logs import FORMATS, LEVELS
from exporter.shapes import seconds
from exporter.web.addresses import listen_address

MAX_FACTOR: Final = 1e6
MAX_WHOLE: Final = 2**63 - 1
"""What MMS can count to, and number things with."""
ENVIRONMENT_PREFIX: Final = "MMS_EXPORTER_"

COMMANDS: Final = {
    "serve": "poll MMS and serve its metrics; this is what runs without a command",
    "once": "refresh once, print the metrics, and exit 1 if anything failed",
    "sources": "show the data sources and how far each is, asked of MMS now",
    "jobs": "show jobs and how far each is, asked of MMS now: unfinished and failed ones, or those of --status",
    "failed": "show the tables and partitions that failed, asked of MMS now",
    "show": "show all that MMS says of one table, partition or job",
    "retry": "migrate again what failed: makes jobs, after asking; all of the source's failures, or what is named",
    "check": "try a configuration on MMS, read-only: key, clock, network, and what each account may call",
    "config": "print the configuration as it takes effect, secrets hidden, or the JSON Schema of its file",
    "probe": "ask a running exporter of this machine whether it is healthy; exit 1 where it is not",
    "demo": "serve the metrics of a simulated migration: needs no account and no configuration",
    "simulate": "run the simulated MMS alone",
}


def one_of(*words: str) -> Callable[[str], str]:
    """Return what accepts `words` only."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return parse


def switch(text: str) -> bool:
    """Return whether a switch is on. Raises: ValueError."""
    if text.lower() not in ("true", "1", "false", "0"):
        raise ValueError("expected true or false")
    return text.lower() in ("true", "1")


def whole(text: str) -> int:
    """Return a whole number, from 0. Raises: ValueError."""
    if not text.isascii() or not text.isdigit():
        raise ValueError("expected a whole number")
    if len(text.lstrip("0")) > len(str(MAX_WHOLE)) or int(text) > MAX_WHOLE:
        raise ValueError(f"expected a whole number, {MAX_WHOLE} at most")
    return int(text)


def name_or_id(text: str) -> str:
    """Return a name, or what may be an id. Raises: ValueError."""
    if text.isascii() and text.isdigit():
        whole(text)
    return text


def factor(text: str) -> float:
    """Return a number above 0. Raises: ValueError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_FACTOR:
        raise ValueError(f"expected a number above 0, {MAX_FACTOR:g} at most")
    return value


def pause(text: str) -> float:
    """Return the seconds in a duration of at least one. Raises: ValueError."""
    if (length := seconds(text)) < 1:
        raise ValueError("expected at least 1s")
    return length


def path(text: str) -> str:
    """Return a path on the web. Raises: ValueError."""
    if not text.startswith("/") or not text.isprintable() or set(text) & set("{}?# "):
        raise ValueError("expected a path such as /metrics")
    if text.startswith(("/-/", "/api/")):
        raise ValueError("expected a path that is not below /-/ or /api/")
    return text


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag, without its dashes."""

    name: str
    help: str
    commands: tuple[str, ...]
    default: str | None = None
    parse: Callable[[str], Any] = str
    metavar: str = "TEXT"
    defaults: tuple[tuple[str, str], ...] = ()
    """Defaults of single commands that differ."""
    is_repeatable: bool = False
    """Whether it may be given more than once; its value is a list, and in the variable commas stand between."""
    has_variable: bool = True
    """Whether the environment may give it: not what says, for one run, what is meant or that it may be done."""

    @property
    def is_switch(self) -> bool:
        """Whether it is on where it stands alone."""
        return self.parse is switch

    @property
    def variable(self) -> str | None:
        """Its environment variable; None where it has none."""
        if not self.has_variable:
            return None
        return ENVIRONMENT_PREFIX + self.name.upper().replace(".", "_").replace("-", "_")

    def default_for(self, command: str) -> str | None:
        """Return its default for one command."""
        return dict(self.defaults).get(command, self.default)


@dataclass(frozen=True, slots=True)
class Word:
    """A word without dashes that a command must be given."""

    name: str
    help: str
    command: str
    parse: Callable[[str], Any] = str


_LOOK: Final = ("sources", "jobs", "failed", "show")
"""The commands for people that only read."""
_READ: Final = ("serve", "once", *_LOOK, "retry", "check", "config")
_POLL: Final = ("serve", "once")
_WEB: Final = ("serve", "demo")
_SIMULATOR: Final = ("demo", "simulate")

_QUIET: Final = tuple((command, "warning") for command in (*_LOOK, "retry", "check"))

_NARROWING: Final = (
    Flag(
        "account",
        "Only this account. Repeatable.",
        (*_LOOK, "check"),
        metavar="NAME",
        is_repeatable=True,
        has_variable=False,
    ),
    Flag(
        *("source", "Only this data source, by name or id. Repeatable.", _LOOK),
        metavar="NAME",
        is_repeatable=True,
        has_variable=False,
    ),
    Flag(
        *("database", "Only this database of the source. Repeatable.", ("jobs", "failed")),
        metavar="NAME",
        is_repeatable=True,
        has_variable=False,
    ),
    Flag(
        *("table", "Only this table, as TABLE or DATABASE.TABLE. Repeatable.", ("jobs", "failed")),
        metavar="NAME",
        is_repeatable=True,
        has_variable=False,
    ),
    Flag(
        *("status", "Only this status, as MMS writes it. Repeatable.", ("sources", "jobs")),
        metavar="STATUS",
        is_repeatable=True,
        has_variable=False,
    ),
    Flag(
        *("limit", "At most so many rows of one kind for each source.", ("jobs", "failed"), "100", whole, "NUMBER"),
        has_variable=False,
    ),
    Flag(
        *("output", "One of table, json, csv.", (*_LOOK, "check"), "table", one_of("table", "json", "csv"), "FORMAT"),
        has_variable=False,
    ),
)

_RETRY: Final = (
    Flag("account", "The account, where there are several.", ("retry",), metavar="NAME", has_variable=False),
    Flag("source", "The data source, by name or id.", ("retry",), metavar="NAME", has_variable=False),
    Flag("failed", "All that failed in the source.", ("retry",), "false", switch, has_variable=False),
    Flag(
        *("table", "This failed table, by id or as DATABASE.TABLE. Repeatable.", ("retry",), None, name_or_id, "TABLE"),
        is_repeatable=True,
        has_variable=False,
    ),
    Flag(
        *("partition", "This failed partition. Repeatable.", ("retry",), None, whole, "ID"),
        is_repeatable=True,
        has_variable=False,
    ),
    Flag(
        *("job", "What failed of this job, with the job's settings. Repeatable.", ("retry",), None, whole, "ID"),
        is_repeatable=True,
        has_variable=False,
    ),
    Flag("dry-run", "Show what would be sent, and send nothing.", ("retry",), "false", switch, has_variable=False),
    Flag("yes", "Send without asking.", ("retry",), "false", switch, has_variable=False),
    Flag(
        "watch",
        "Follow the jobs to their end; exit 0 only if all is DONE.",
        ("retry",),
        "false",
        switch,
        has_variable=False,
    ),
    Flag("resume", "Go on with what an interrupted run wrote down.", ("retry",), metavar="FILE", has_variable=False),
    Flag(
        "resend",
        "With --resume: jobs that no list shows were not made; send them again.",
        ("retry",),
        "false",
        switch,
        has_variable=False,
    ),
    Flag(
        *("settle", "How long lists and statuses of MMS may lag behind jobs.", ("retry",), "5m", pause, "DURATION"),
        has_variable=False,
    ),
)

FLAGS: Final = (
    Flag("config.file", "Configuration file (YAML).", _READ, metavar="FILE"),
    Flag("config.check", "Check the configuration and exit.", ("serve",), "false", switch),
    Flag("config.auto-reload", "Reload when the content of the configuration changes.", ("serve",), "false", switch),
    Flag("config.auto-reload-interval", "How often to look for that.", ("serve",), "30s", pause, "DURATION"),
    Flag("mms.region", "Region of the one account `default`, in place of a configuration file.", _READ),
    Flag("output", "Write to this file, as a whole, in place of standard output (-).", ("once",), metavar="FILE"),
    Flag(
        "shard.index",
        "Which of the exporters that share the data sources this is, from 0.",
        _POLL,
        "0",
        whole,
        "NUMBER",
    ),
    Flag("shard.total", "How many exporters share the data sources.", _POLL, "1", whole, "NUMBER"),
    Flag(
        "web.listen-address",
        "Address to listen on: host:port or :port. Repeatable; commas between, in the variable. demo: loopback.",
        (*_WEB, "probe"),
        ":10180",
        listen_address,
        "ADDRESS",
        (("demo", "127.0.0.1:10180"),),
        is_repeatable=True,
    ),
    Flag(
        "web.systemd-socket",
        "Serve on the sockets that systemd opened, in place of --web.listen-address.",
        ("serve",),
        "false",
        switch,
    ),
    Flag("web.telemetry-path", "Path of the metrics.", _WEB, "/metrics", path, "PATH"),
    Flag(
        "web.config.file",
        "Web configuration file (YAML): TLS, users, headers, rate limit; as of Prometheus' exporter-toolkit.",
        ("serve",),
        metavar="FILE",
    ),
    Flag("web.enable-lifecycle", "Offer /-/reload.", _WEB, "false", switch),
    Flag("simulator.listen-address", "Address of the simulated MMS.", _SIMULATOR, "127.0.0.1:10181", listen_address),
    Flag("simulator.seed", "Which story it tells: the same seed, the same story.", _SIMULATOR, "1", whole, "NUMBER"),
    Flag("simulator.speed", "How fast its time runs.", _SIMULATOR, "60", factor, "FACTOR"),
    Flag("simulator.sources", "How many data sources it has.", _SIMULATOR, "12", whole, "NUMBER"),
    Flag("simulator.latency", "How long it takes to answer.", _SIMULATOR, "0s", seconds, "DURATION"),
    *_NARROWING,
    *_RETRY,
    Flag("log.level", f"One of {', '.join(LEVELS)}.", tuple(COMMANDS), "info", one_of(*LEVELS), "LEVEL", _QUIET),
    Flag("log.format", f"One of {', '.join(FORMATS)}.", tuple(COMMANDS), "logfmt", one_of(*FORMATS), "FORMAT"),
)

WORDS: Final = (
    Word("kind", "table, partition or job", "show", one_of("table", "partition", "job")),
    Word("id", "its id, as the other commands show it", "show", whole),
    Word("what", "show or schema", "config", one_of("show", "schema")),
)
