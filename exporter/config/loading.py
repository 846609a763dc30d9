"""The configuration records: keys, defaults and validation.

Owns every default. A loaded configuration is frozen: secrets are read, expressions compiled, durations in seconds.
"""

import platform
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, field

from exporter import __version__
from exporter.config.credential_types import Credentials, DefaultChain
from exporter.config.network import PLAIN_HTTP, Proxy, endpoint_errors, tls_context
from exporter.config.sections import Seconds, Section, TextFile, encode_hook, parse_section
from exporter.config.watch_sections import Watch
from exporter.config.yaml_files import key_lines, read_yaml, yaml_text
from exporter.errors import ConfigError, Problem

DEFAULT_ZONE: Final = ZoneInfo("Asia/Shanghai")
MAX_TIMEOUT_SECONDS: Final = 300


class Selection(Section, frozen=True, kw_only=True):
    """Data sources of the account to export."""

    include: tuple[re.Pattern[str], ...] = ()
    """Regular expressions; each must match the whole name of a data source to export. Empty selects every one."""
    exclude: tuple[re.Pattern[str], ...] = ()
    """Regular expressions; each must match the whole name of a data source to skip. Overrides `include`."""
    types: tuple[str, ...] = ()
    """Types to export, such as HIVE or BIGQUERY, case-insensitive; empty selects every type."""

    def admits(self, name: str, source_type: str) -> bool:
        """Return whether a data source is selected."""
        if self.types and source_type.upper() not in {each.upper() for each in self.types}:
            return False
        if any(expression.fullmatch(name) for expression in self.exclude):
            return False
        return not self.include or any(expression.fullmatch(name) for expression in self.include)


class Account(Section, frozen=True, kw_only=True):
    """One Alibaba Cloud account in one region."""

    compared_with = dict.fromkeys(("endpoint", "credentials"), ("allow_insecure",))

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    """Name of the account: the value of the label `account`. Must be unique."""
    region: str
    """Region, such as `cn-shanghai`."""
    endpoint: str | None = None
    """URL of the API; the default is `https://maxcompute.<region>.aliyuncs.com`."""
    allow_insecure: bool = False
    """Allow plain http to hosts other than loopback, for the endpoint and for credential services."""
    proxy: Proxy | None = None
    """HTTP proxy; the default is the proxy from the environment."""
    ca_file: TextFile | None = None
    """CA bundle (PEM) that replaces the system's CA certificates, for the endpoint and the proxy."""
    time_zone: ZoneInfo = DEFAULT_ZONE
    """Time zone of the API's timestamps, which have no offset."""
    credentials: Credentials = field(default_factory=DefaultChain)
    """How the exporter gets its credentials."""
    sources: Selection = field(default_factory=Selection)
    """Data sources to export; the default is all of them."""
    rate_limit: Annotated[float, Meta(ge=0, le=1000)] = 10.0
    """Maximum requests per second; 0 disables the limit."""
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 8
    """Maximum concurrent requests."""
    timeout: Seconds = Seconds(10)
    """Timeout of one request, at most 300 s."""

    @property
    def url(self) -> str:
        """The URL of the API."""
        return self.endpoint or f"https://maxcompute.{self.region}.aliyuncs.com"

    def has_same_endpoint(self, other: "Account") -> bool:
        """Return whether both accounts call the same endpoint."""
        # Credentials are not compared: a rotated key reads the same data.
        return self.url == other.url

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield the invalid fields of an account."""
        if not str(self.name).isprintable():
            yield "name", "expected printable characters only"
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", str(self.region)):  # None if missing
            yield "region", "expected a region such as cn-shanghai"
        if self.endpoint is not None:
            yield from (("endpoint", reason) for reason in endpoint_errors(self.endpoint, self.allow_insecure))
        if not self.allow_insecure:
            yield from (
                (f"credentials.{name}", f"{PLAIN_HTTP} of the account") for name in self.credentials.plain_http_fields()
            )
        if self.ca_file is not None and not _has_certificates(self.ca_file):
            yield "ca_file", f"expected PEM certificates; {self.ca_file.path} has none"
        if not 0 < self.timeout <= MAX_TIMEOUT_SECONDS:
            yield "timeout", f"expected more than 0s and at most {MAX_TIMEOUT_SECONDS}s"


class Refresh(Section, frozen=True, kw_only=True):
    """How often the exporter reads MMS, and how long values stay valid."""

    compared_with = {"stale_after": ("interval",)}  # noqa: RUF012 - declared as ClassVar

    interval: Seconds = Seconds(60)
    """Time between the starts of two refreshes."""
    stale_after: Seconds = Seconds(300)
    """Values not refreshed for this long are no longer exported. Also the timeout of a whole refresh."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield intervals that would leave nothing to export."""
        if self.interval < 1:
            yield "interval", "expected at least 1s"
        elif self.stale_after < self.interval:
            yield "stale_after", f"expected at least refresh.interval, {self.interval:g}s"


class Jobs(Section, frozen=True, kw_only=True):
    """The jobs collector."""

    enabled: bool = True
    """Enable the collector."""
    max_series_per_source: Annotated[int, Meta(ge=0, le=100_000)] = 200
    """Maximum jobs per data source that have their own series."""
    linger: Seconds = Seconds(900)
    """How long a finished job keeps its series."""
    idle_interval: Seconds = Seconds(600)
    """How often the jobs of an idle data source are read: its row did not change and no job is unfinished."""


class Databases(Section, frozen=True, kw_only=True):
    """The databases collector."""

    enabled: bool = True
    """Enable the collector."""
    max_per_source: Annotated[int, Meta(ge=0, le=100_000)] = 500
    """Maximum databases per data source that have their own series, the largest first."""


class Scan(Section, frozen=True, kw_only=True):
    """The scan collector: progress of metadata scans, and outdated partitions."""

    enabled: bool = True
    """Enable the collector."""


class FailureReasons(Section, frozen=True, kw_only=True):
    """The reasons collector: why tasks failed."""

    enabled: bool = True
    """Enable the collector. It reads only when the number of failures changed."""
    max_tasks: Annotated[int, Meta(ge=1, le=1000)] = 20
    """Maximum failed tasks per data source, the newest, whose logs are read."""


class Failures(Section, frozen=True, kw_only=True):
    """The failures collector."""

    enabled: bool = True
    """Enable the collector."""
    max_per_source: Annotated[int, Meta(ge=0, le=100_000)] = 50
    """Maximum failed tables, and maximum failed partitions, per data source that have their own series."""
    reasons: FailureReasons = field(default_factory=FailureReasons)
    """Why tasks failed; needs `enabled` of failures."""


class Timers(Section, frozen=True, kw_only=True):
    """The timers collector: scheduled migrations and whether they ran."""

    enabled: bool = True
    """Enable the collector."""
    interval: Seconds = Seconds(600)
    """How often the timers of a data source are read, and the logs of those that were due."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield an interval that would read in each refresh."""
        if self.interval < 1:
            yield "interval", "expected at least 1s"


class Tasks(Section, frozen=True, kw_only=True):
    """The tasks collector. It uses `idle_interval` and `max_series_per_source` of `jobs`."""

    enabled: bool = False
    """Enable the collector. Each refresh then makes 11 calls per active data source, and 1 or more per job."""


class Config(Section, frozen=True, kw_only=True):
    """The configuration file of the exporter."""

    accounts: tuple[Account, ...]
    """Accounts to read; at least one. The order has no effect."""
    refresh: Refresh = field(default_factory=Refresh)
    """Refresh interval and expiry."""
    jobs: Jobs = field(default_factory=Jobs)
    """The jobs collector."""
    databases: Databases = field(default_factory=Databases)
    """The databases collector."""
    scan: Scan = field(default_factory=Scan)
    """The scan collector: progress of metadata scans, and outdated partitions."""
    failures: Failures = field(default_factory=Failures)
    """The failures collector."""
    timers: Timers = field(default_factory=Timers)
    """The timers collector."""
    tasks: Tasks = field(default_factory=Tasks)
    """The tasks collector."""
    watch: Watch = field(default_factory=Watch)
    """The watch collector."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield a missing account."""
        if not self.accounts:
            yield "accounts", "expected at least one"


def load(path: Path) -> Config:
    """Load the configuration from a YAML file. Raises: ConfigError with every problem."""
    raw = read_yaml(path)
    if raw is None:
        raise ConfigError(Problem(str(path), "is empty"))
    try:
        return config_from(raw)
    except ConfigError as error:
        lines = key_lines(path)
        placed = sorted(((_line(each.path, lines), each) for each in error.problems), key=lambda each: each[0] or inf)
        raise ConfigError(
            *(replace(each, place=f"{path}:{line}" if line else str(path)) for line, each in placed)
        ) from None


def _line(key: str, lines: Mapping[str, int]) -> int:
    # A missing key has the line of its section, 0 for the file.
    while key and key not in lines:
        key = re.sub(r"(\.|^)[^.\[\]]*$|\[\d+\]$", "", key)
    return lines.get(key, 0)


def region_only(region: str) -> Config:
    """Return a configuration with one account, `default`. Raises: ConfigError."""
    return config_from({"accounts": [{"name": "default", "region": region}]})


def config_from(raw: object) -> Config:
    """Parse a raw mapping. Raises: ConfigError with every problem."""
    problems: list[Problem] = []
    config = parse_section(Config, raw, "", problems)
    problems += _duplicate_names(raw)
    if config is None or problems:
        raise ConfigError(*problems)
    return config


def effective_text(config: Config) -> str:
    """Return the effective configuration as YAML; secrets are hidden."""
    versions = f"mms-exporter {__version__}, Python {platform.python_version()}"
    raw = _without_none(msgspec.to_builtins(config, enc_hook=encode_hook))
    return f"# {versions}: the configuration as it takes effect; secrets are hidden\n{yaml_text(raw)}"


def _without_none(value: Any) -> Any:  # noqa: ANN401 - any part of a configuration
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, tuple) else value


def _duplicate_names(raw: object) -> Iterator[Problem]:
    # Reads the raw input, so that another problem does not hide a duplicate.
    accounts = raw.get("accounts") if isinstance(raw, dict) else None
    seen: dict[str, int] = {}
    for index, account in enumerate(accounts if isinstance(accounts, list) else ()):
        name = account.get("name") if isinstance(account, dict) else None
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            yield Problem(f"accounts[{index}].name", f"accounts[{seen[name]}] has the same name")


def _has_certificates(file: TextFile) -> bool:
    try:
        tls_context(file.text)
    except (ssl.SSLError, ValueError):
        return False
    return True
