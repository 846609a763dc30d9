"""Commands and flags as records, the parsers of values, and the flags that several commands share."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from exporter import DOCUMENTS
from exporter.config.network import listen_address
from exporter.config.sections import seconds
from exporter.logs import FORMATS, LEVELS
from exporter.mms.models.statuses import ApiEnum, DataSourceStatus, JobStatus, TableStatus

MAX_FACTOR: Final = 1e6
MAX_INTEGER: Final = 2**63 - 1
"""Maximum count or ID in MMS, a signed 64-bit integer."""
_PREFIX: Final = re.compile(r"(/[\w~-][\w.~-]*)*/?", re.ASCII)
ENVIRONMENT_PREFIX: Final = "MMS_EXPORTER_"
OUTPUT_FORMATS: Final = ("table", "json", "csv")
REPORT_FORMATS: Final = ("md", "html", "json", "csv")


class Values(dict[str, Any]):
    """Values by flag or argument; None without value and default."""

    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[str, str] = {}
        """The flag or environment variable that sets each flag."""


Action = Callable[[Values], bool]
"""Runs a command and returns whether it succeeded. Raises: ExporterError."""


class OneOf:
    """A parser that accepts only these words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, text: str) -> str:
        """Parse a word. Raises: ValueError."""
        if text not in self.words:
            raise ValueError(f"expected one of {', '.join(self.words)}")
        return text


def switch(text: str) -> bool:
    """Parse the value of a switch. Raises: ValueError."""
    if text.lower() not in ("true", "1", "false", "0"):
        raise ValueError("expected true or false")
    return text.lower() in ("true", "1")


def whole_number(minimum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `minimum`."""

    def parse(text: str) -> int:
        digits = text.lstrip("0") or text[-1:]
        is_number = digits.isascii() and digits.isdigit()
        if is_number and (len(digits) > len(str(MAX_INTEGER)) or int(digits) > MAX_INTEGER):
            raise ValueError(f"expected a whole number of at most {MAX_INTEGER}")
        if not is_number or int(digits) < minimum:
            raise ValueError(f"expected a whole number of {minimum} or more")
        return int(digits)

    return parse


integer: Final = whole_number(0)
"""Parser of counts and IDs."""


class UpperCase(OneOf):
    """A parser of words in upper case, which may be given in any case."""

    def __call__(self, text: str) -> str:
        """Parse a word. Raises: ValueError."""
        return super().__call__(text.upper())


class LogLevel(OneOf):
    """A parser of log levels; warn means warning."""

    def __call__(self, text: str) -> str:
        """Parse a log level. Raises: ValueError."""
        return super().__call__("warning" if text == "warn" else text)


def output_file(text: str) -> str:
    """Parse the file of `once`. Raises: ValueError for an output format."""
    if text in OUTPUT_FORMATS or text in REPORT_FORMATS:
        file = f"a file (./{text} for a file of that name)"
        raise ValueError(f"expected {file}; once writes only the Prometheus text format")
    return text


def id_from(where: str) -> Callable[[str], int]:
    """Return a parser of IDs that says where they are printed."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"expected the ID, which {where}")
        return integer(text)

    return parse


partition_id: Final = id_from("`failed` prints beside the value of the partition")
job_id: Final = id_from("`jobs` prints")


def id_or_name(text: str) -> int | str:
    """Return digits as an ID, and other text as it is. Raises: ValueError."""
    return integer(text) if text.isascii() and text.isdigit() else text


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


def route_prefix(text: str) -> str:
    """Parse the prefix of URL paths; return it without a final slash. Raises: ValueError."""
    if not _PREFIX.fullmatch(text):
        raise ValueError("expected a path such as /mms, or /")
    return text.rstrip("/")


def web_url(text: str) -> str:
    """Parse a URL that people open; return it without a final slash. Raises: ValueError."""
    parts = urlsplit(text)
    is_url = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
    if not is_url or parts.username is not None or not text.isprintable() or " " in text:
        raise ValueError("expected a URL such as https://example.com/mms")
    return text.rstrip("/")


def external_url(text: str) -> str:
    """Parse the URL of a reverse proxy; its path is a valid prefix. Raises: ValueError."""
    route_prefix(urlsplit(web_url(text)).path or "/")
    return web_url(text)


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; `name` has no dashes."""

    name: str
    help: str
    default: str | None = None
    parse: Callable[[str], Any] = str
    metavar: str = "TEXT"
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


@dataclass(frozen=True, slots=True)
class Argument:
    """A required positional argument."""

    name: str
    help: str
    parse: Callable[[str], Any] = str


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    name: str
    description: str
    run: Action
    flags: tuple[Flag, ...]
    arguments: tuple[Argument, ...]


one_run_flag = partial(Flag, has_variable=False)
selector = partial(one_run_flag, is_repeatable=True)

CONFIG: Final = (
    Flag("config.file", "Configuration file (YAML).", None, Path, "FILE"),
    Flag("mms.region", "Region of the account `default`, instead of a configuration file."),
)
SHARD: Final = (
    Flag("shard.index", "Index of this exporter among the shards, from 0.", "0", integer, "NUMBER"),
    Flag("shard.total", "Number of exporters that share the data sources.", "1", whole_number(1), "NUMBER"),
)
LISTEN: Final = Flag(
    "web.listen-address",
    "Listen address, host:port or :port. Repeatable; the variable separates addresses with commas.",
    ":10180",
    listen_address,
    "ADDRESS",
    is_repeatable=True,
)
PREFIX: Final = (
    Flag(
        "web.external-url",
        "URL under which people reach the exporter, such as https://example.com/mms behind a reverse proxy.",
        *(None, external_url, "URL"),
    ),
    Flag(
        "web.route-prefix",
        "Prefix of all URL paths that the exporter serves. Default: the path of --web.external-url.",
        *(None, route_prefix, "PATH"),
    ),
)
WEB: Final = (
    Flag("web.telemetry-path", "URL path of the metrics.", "/metrics", url_path, "PATH"),
    *PREFIX,
    Flag(
        "web.runbook-url",
        "URL of the folder with the runbooks that the status page links.",
        *(f"{DOCUMENTS}/runbooks", web_url, "URL"),
    ),
    Flag("web.dashboard-url", "URL of Grafana, to link the dashboards on the status page.", None, web_url, "URL"),
    Flag("web.enable-lifecycle", "Enable /-/reload.", "false", switch),
)
SIMULATOR: Final = (
    Flag("simulator.listen-address", "Listen address of the simulated MMS.", "127.0.0.1:10181", listen_address),
    Flag(
        "simulator.scenario",
        "What is simulated: story (a migration of 20 minutes that starts now) or endless.",
        "story",
        OneOf("story", "endless"),
        "NAME",
    ),
    Flag("simulator.seed", "Random seed; the same seed gives the same migration.", "1", integer, "NUMBER"),
    Flag(
        "simulator.speed",
        "Simulated seconds per real second, until the simulated time is the real one.",
        "1",
        positive_number,
        "FACTOR",
    ),
    Flag("simulator.sources", "Number of data sources.", "4", integer, "NUMBER"),
    Flag("simulator.latency", "Delay of each response.", "0s", seconds, "DURATION"),
    Flag(
        "simulator.stopped",
        "Whether lists by status have stopped jobs and tasks: listed or hidden.",
        "listed",
        OneOf("listed", "hidden"),
        "MODE",
    ),
)
LOG_LEVEL: Final = Flag("log.level", f"Log level: {', '.join(LEVELS)}.", "info", LogLevel(*LEVELS), "LEVEL")
LOG_FORMAT: Final = Flag("log.format", f"Log format: {', '.join(FORMATS)}.", "logfmt", OneOf(*FORMATS), "FORMAT")
LOG: Final = (LOG_LEVEL, LOG_FORMAT)
QUIET_LOG: Final = (replace(LOG_LEVEL, default="warning"), LOG_FORMAT)

ACCOUNT: Final = selector("account", "Select this account. Repeatable.", metavar="NAME")
SOURCE: Final = selector("source", "Select data sources by name, glob or ID. Repeatable.", metavar="NAME")
NAMES: Final = (
    selector("database", "Select source databases by name or glob. Repeatable.", metavar="NAME"),
    selector("table", "Select tables by TABLE, DATABASE.TABLE, glob or ID. Repeatable.", metavar="NAME"),
)


def _status(statuses: type[ApiEnum]) -> Flag:
    text = f"Select this status: {', '.join(statuses)}. Repeatable."
    return selector("status", text, None, UpperCase(*statuses), "STATUS")


SOURCE_STATUS: Final = _status(DataSourceStatus)
DATABASE_STATUS: Final = _status(TableStatus)
JOB_STATUS: Final = _status(JobStatus)
ABSOLUTE_TIMES: Final = one_run_flag("absolute-times", "Show times instead of ages.", "false", switch)
LIMIT: Final = one_run_flag("limit", "Maximum rows of each kind per data source.", "100", integer, "NUMBER")
OUTPUT: Final = one_run_flag("output", "Output format: table, json or csv.", "table", OneOf(*OUTPUT_FORMATS), "FORMAT")
REPORT_OUTPUT: Final = replace(
    OUTPUT, help="Output format: md, html, json or csv.", default="md", parse=OneOf(*REPORT_FORMATS)
)
