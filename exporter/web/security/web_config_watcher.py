"""The current web configuration. Its files are checked for each connection and request, and reloaded after a change.

An invalid file changes nothing; it is logged once and reported in the metrics. Knows no requests.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from exporter.config.file_changes import FileStamps, fingerprint, stamps_of, unsettled_seconds
from exporter.config.yaml_files import read_yaml
from exporter.errors import ConfigError, Problem
from exporter.web.security import tls
from exporter.web.security.web_config import WebConfig, web_config_from

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid web configuration."""

    config: WebConfig = field(default_factory=WebConfig)
    context: ssl.SSLContext | None = None
    """None for plain HTTP."""
    stamps: FileStamps = field(default_factory=dict)
    """Stamps of the files, taken before they were read."""
    is_empty: bool = False
    """Whether the web configuration file is empty, like a truncated one."""


class WebConfigWatcher:
    """Holds the current settings."""

    def __init__(self, path: Path | None, on_load: Callable[[bool], None] = lambda _: None) -> None:
        """Load `path`; `on_load` receives the success of reloads. Raises: ConfigError."""
        self._path = path
        self._on_load = on_load
        self.settings = Settings() if path is None else _load(path, fingerprint(path, path.parent))
        self._stamps = self.settings.stamps

    def reload_if_changed(self) -> None:
        """Reload after a change, unless files may be half written."""
        # Certificate and key are written one after the other: reload only when the newest file has settled.
        if self._stamps != stamps_of(self._stamps) and not unsettled_seconds(self._stamps):
            with contextlib.suppress(ConfigError):
                self.apply(self.read())

    async def current(self) -> Settings:
        """Return the current settings; wait for half-written files."""
        if (seconds := unsettled_seconds(self._stamps)) > 0:
            await asyncio.sleep(seconds)
        self.reload_if_changed()
        return self.settings

    def read(self) -> Settings | None:
        """Return the settings in the files, None without a file. Raises: ConfigError."""
        if self._path is None:
            return None
        stamps = fingerprint(self._path, self._path.parent)  # before reading, so that no change is missed
        known = stamps_of(self._stamps) | stamps
        try:
            loaded = _load(self._path, stamps)
            self._check_change(loaded)
        except ConfigError as error:
            self._stamps = known  # invalid files are not read again for each request
            problems = "; ".join(map(str, error.problems))
            log.warning("web configuration reload failed, keeping the previous configuration", problems=problems)
            self._on_load(False)
            raise
        return loaded

    def apply(self, loaded: Settings | None) -> None:
        """Use loaded settings from now on."""
        if loaded is not None:
            for warning in _lost_protections(self.settings, loaded):
                log.warning(warning)
            self.settings, self._stamps = loaded, loaded.stamps
            log.info("web configuration reloaded")
            self._on_load(True)

    def _check_change(self, loaded: Settings) -> None:
        if (loaded.context is None) != (self.settings.context is None):
            message = "TLS can be turned on and off by a restart only"
            raise ConfigError(Problem(f"{self._path}: tls_server_config", message))
        if loaded.is_empty and self.settings.config.basic_auth_users:
            message = "the file is empty and had users; write {} to remove all users"
            raise ConfigError(Problem(str(self._path), message))


def _load(path: Path, stamps: FileStamps) -> Settings:
    try:
        raw = read_yaml(path)
        config = web_config_from(raw)
        section = config.tls_server_config
        context = tls.server_context(section, path.parent) if section.is_given else None
    except ConfigError as error:
        raise ConfigError(*(_located(problem, path) for problem in error.problems)) from None
    return Settings(config, context, stamps, is_empty=raw is None)


def _located(problem: Problem, file: Path) -> Problem:
    # The file name distinguishes the problem from those of the other configuration file.
    places = (str(file), problem.path.removeprefix(str(file)))
    return Problem(": ".join(filter(None, places)), problem.message)


def _lost_protections(before: Settings, after: Settings) -> Iterator[str]:
    if before.config.basic_auth_users and not after.config.basic_auth_users:
        yield "basic auth is off: the web configuration has no users any more"
    if _requires_certificate(before) and not _requires_certificate(after):
        yield "client certificates are not required any more"


def _requires_certificate(settings: Settings) -> bool:
    return settings.context is not None and settings.context.verify_mode is ssl.CERT_REQUIRED
