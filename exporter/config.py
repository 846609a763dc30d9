"""The configuration: what a user can set, its defaults, and what is impossible.

Owns every default. What is loaded is frozen and whole: secrets read, expressions compiled, durations in seconds.
"""

import re
import ssl
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from msgspec import Meta, field

from exporter.config_credentials import Credentials, DefaultChain
from exporter.config_network import PLAIN_HTTP, Proxy, endpoint_faults, tls_context
from exporter.errors import ConfigError, Problem
from exporter.shapes import Seconds, Section, TextFile, build
from exporter.yaml_files import read_yaml

DEFAULT_ZONE: Final = ZoneInfo("Asia/Shanghai")
MAX_TIMEOUT_SECONDS: Final = 300


class Selection(Section, frozen=True, kw_only=True):
    """Which data sources of an account are watched. Expressions match the whole name."""

    include: tuple[re.Pattern[str], ...] = ()
    """Empty for all."""
    exclude: tuple[re.Pattern[str], ...] = ()
    """Outweighs `include`."""
    types: tuple[str, ...] = ()
    """HIVE, BIGQUERY, ..., in any case; empty for all."""

    def admits(self, name: str, source_type: str) -> bool:
        """Tell whether the source of this name and type is watched."""
        if self.types and source_type.upper() not in {each.upper() for each in self.types}:
            return False
        if any(expression.fullmatch(name) for expression in self.exclude):
            return False
        return not self.include or any(expression.fullmatch(name) for expression in self.include)


class Account(Section, frozen=True, kw_only=True):
    """One account of Alibaba Cloud in one region."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    """The label `account`."""
    region: str
    """As in `cn-shanghai`."""
    endpoint: str | None = None
    """`https://maxcompute.<region>.aliyuncs.com` where it is not given."""
    allow_insecure: bool = False
    """Allow plain http to what is not on loopback: the endpoint, and who is asked for credentials."""
    proxy: Proxy | None = None
    """The environment's where it is not given."""
    ca_file: TextFile | None = None
    """A bundle of certificate authorities (PEM) to trust, for endpoint and proxy, in place of the system's."""
    time_zone: ZoneInfo = DEFAULT_ZONE
    """Of the times that the API answers with, which carry none."""
    credentials: Credentials = field(default_factory=DefaultChain)
    """Who calls; see below."""
    sources: Selection = field(default_factory=Selection)
    rate_limit: Annotated[float, Meta(ge=0, le=1000)] = 10.0
    """Requests a second; 0 for no limit."""
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 8
    """Requests at a time."""
    timeout: Seconds = Seconds(10)
    """Of one request."""

    @property
    def url(self) -> str:
        """The endpoint that is called."""
        return self.endpoint or f"https://maxcompute.{self.region}.aliyuncs.com"

    def asks_the_same_as(self, other: "Account") -> bool:
        """Whether what was read with one tells of what the other reads: keys are rotated, an endpoint is a region."""
        return self.url == other.url

    def impossible(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot be called."""
        if not str(self.name).isprintable():
            yield "name", "expected a text that can be printed"
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", str(self.region)):  # None where it is missing
            yield "region", "expected a region such as cn-shanghai"
        if self.endpoint is not None:
            yield from (("endpoint", reason) for reason in endpoint_faults(self.endpoint, self.allow_insecure))
        if not self.allow_insecure:
            yield from ((f"credentials.{name}", f"{PLAIN_HTTP} of the account") for name in self.credentials.in_clear())
        if self.ca_file is not None and not _has_authorities(self.ca_file):
            yield "ca_file", f"expected certificates in PEM, which {self.ca_file.path} has not"
        if not 0 < self.timeout <= MAX_TIMEOUT_SECONDS:
            yield "timeout", f"expected more than 0s and at most {MAX_TIMEOUT_SECONDS}s"


class Refresh(Section, frozen=True, kw_only=True):
    """How often MMS is asked, and how long an answer holds."""

    interval: Seconds = Seconds(60)
    """From one refresh to the next."""
    stale_after: Seconds = Seconds(300)
    """What could not be read for this long leaves the exposition. Also the longest that a refresh may run."""

    def impossible(self) -> Iterator[tuple[str, str]]:
        """Yield what would leave nothing to show."""
        if self.interval < 1:
            yield "interval", "expected at least 1s"
        elif self.stale_after < self.interval:
            yield "stale_after", f"expected at least the interval, {self.interval:g}s"


class Jobs(Section, frozen=True, kw_only=True):
    """The jobs collector."""

    enabled: bool = True
    """Whether it runs."""
    max_series_per_source: Annotated[int, Meta(ge=0, le=100_000)] = 200
    """Jobs with series of their own, for each source."""
    linger: Seconds = Seconds(900)
    """How long a finished job keeps its series."""
    idle_interval: Seconds = Seconds(600)
    """How often a source is asked for its jobs while its row does not change and none is unfinished."""


class Failures(Section, frozen=True, kw_only=True):
    """The failures collector."""

    enabled: bool = True
    """Whether it runs."""
    max_per_source: Annotated[int, Meta(ge=0, le=100_000)] = 50
    """Failed tables, and failed partitions, with series of their own, for each source."""


class Tasks(Section, frozen=True, kw_only=True):
    """The tasks collector, which keeps to `idle_interval` and `max_series_per_source` of jobs."""

    enabled: bool = False
    """It costs eleven calls a refresh for each data source in which something runs, and one or more for each job."""


class _Watched(Section, frozen=True, kw_only=True):
    source_id: int | None = None
    """The data source's id."""
    source: str | None = None
    """The data source's name, in place of source_id."""
    db: str | None = None
    """The source database; with `table`, in place of ids."""
    table: str | None = None
    """The source table."""

    def _vague(self, ids: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Yield where it is not said, or said more than once, what is watched."""
        if (self.source_id is None) == (self.source is None):
            yield "source_id", "expected either source_id or source"
        yield from ((ids, f"names {number} more than once") for number in _repeated(getattr(self, ids)))
        given = [name for name in names if getattr(self, name) is not None]
        if bool(getattr(self, ids)) == bool(given):
            yield ids, f"expected either {ids} or {', '.join(names)}"
        elif given and len(given) < len(names):
            lacking = next(name for name in names if name not in given)
            yield lacking, f"is required beside {given[0]}"


class WatchedTables(_Watched, frozen=True, kw_only=True):
    """Tables of one source to be watched: by id, or one by its names, which are looked up once and match exactly."""

    table_ids: tuple[int, ...] = ()
    """In place of names."""

    def impossible(self) -> Iterator[tuple[str, str]]:
        """Yield where it is not clear which tables are meant."""
        yield from self._vague("table_ids", ("db", "table"))


class WatchedPartitions(_Watched, frozen=True, kw_only=True):
    """Partitions of one source to be watched: by id, or one by its names and value, as with tables."""

    partition_ids: tuple[int, ...] = ()
    """In place of names."""
    partition: str | None = None
    """The partition's value, as in `p1=1/p2=abc`."""

    def impossible(self) -> Iterator[tuple[str, str]]:
        """Yield where it is not clear which partitions are meant."""
        yield from self._vague("partition_ids", ("db", "table", "partition"))


class Watch(Section, frozen=True, kw_only=True):
    """The watch collector. Each account watches what of this lies in its data sources."""

    tables: tuple[WatchedTables, ...] = ()
    """Tables to be watched."""
    partitions: tuple[WatchedPartitions, ...] = ()
    """Partitions to be watched."""


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration."""

    accounts: tuple[Account, ...]
    """What is asked: at least one; the order means nothing."""
    refresh: Refresh = field(default_factory=Refresh)
    jobs: Jobs = field(default_factory=Jobs)
    failures: Failures = field(default_factory=Failures)
    tasks: Tasks = field(default_factory=Tasks)
    watch: Watch = field(default_factory=Watch)

    def impossible(self) -> Iterator[tuple[str, str]]:
        """Yield the lack of anything to do."""
        if not self.accounts:
            yield "accounts", "expected at least one"


def load(path: Path) -> Config:
    """Return the configuration in a YAML file. Raises: ConfigError with every problem."""
    return config_from(read_yaml(path))


def region_only(region: str) -> Config:
    """Return the configuration of one account, `default`, in `region`. Raises: ConfigError."""
    return config_from({"accounts": [{"name": "default", "region": region}]})


def config_from(raw: object) -> Config:
    """Return the configuration in a raw mapping. Raises: ConfigError with every problem."""
    problems: list[Problem] = []
    config = build(Config, raw, "", problems)
    problems += _shared_names(raw)
    if config is None or problems:
        raise ConfigError(*problems)
    return config


def _shared_names(raw: object) -> Iterator[Problem]:
    """Yield the accounts that have an earlier one's name; on raw input, so that no other problem hides them."""
    accounts = raw.get("accounts") if isinstance(raw, dict) else None
    seen: dict[str, int] = {}
    for index, account in enumerate(accounts if isinstance(accounts, list) else ()):
        name = account.get("name") if isinstance(account, dict) else None
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            yield Problem(f"accounts[{index}].name", f"accounts[{seen[name]}] has the same name")


def _repeated(numbers: Iterable[int]) -> list[int]:
    return [number for number, count in Counter(numbers).items() if count > 1]


def _has_authorities(file: TextFile) -> bool:
    try:
        tls_context(file.text)
    except (ssl.SSLError, ValueError):
        return False
    return True
