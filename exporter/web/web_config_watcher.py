"""The current web configuration: its files are checked for each connection and request, and reloaded on a change.

An invalid file changes nothing; it is logged once and shows in the metrics. Knows nothing of requests.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from exporter.errors import ConfigError, Problem
from exporter.web import tls
from exporter.web.web_config import WebConfig, web_config_from
from exporter.yaml_files import read_yaml

log = structlog.stdlib.get_logger()

SETTLE_SECONDS: Final = 0.1
"""A file that is younger may be half written: users or a client CA may be missing. Certificate and key are written one
after the other, so all files wait for the youngest."""

FileStamp = tuple[int, ...]
"""Differs when a file does; () for a missing file."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid web configuration."""

    config: WebConfig = field(default_factory=WebConfig)
    context: ssl.SSLContext | None = None
    """None for plain HTTP."""


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Valid settings that are not applied yet."""

    settings: Settings
    stamps: dict[Path, FileStamp]
    """Of the files that were read."""
    is_blank: bool
    """Whether the web configuration file is empty, like a truncated one."""


class WebConfigWatcher:
    """Holds the current settings."""

    def __init__(self, path: Path | None, on_load: Callable[[bool], None] = lambda _: None) -> None:
        """Read `path`, if any. `on_load` is called after each reload with its success. Raises: ConfigError."""
        self._path = path
        self._on_load = on_load
        self._stamps: dict[Path, FileStamp] = {}
        self.settings = Settings()
        if path is not None:
            loaded = self._read(path)
            self.settings, self._stamps = loaded.settings, loaded.stamps
        if self.settings.context is not None and self.settings.config.http_server_config.http2:
            log.debug("HTTP/2 is not supported; HTTP/1.1 is served")

    def reload_if_changed(self) -> None:
        """Reload if a file changed and none is younger than SETTLE_SECONDS."""
        if self._unsettled_seconds() == 0 and self._stamps != _stamps(self._stamps):
            with contextlib.suppress(ConfigError):
                self.apply(self.read())

    async def current(self) -> Settings:
        """Return the current settings; wait up to SETTLE_SECONDS if a file is being written."""
        if (seconds := self._unsettled_seconds()) > 0:
            await asyncio.sleep(seconds)
        self.reload_if_changed()
        return self.settings

    def read(self) -> LoadedSettings | None:
        """Return the settings in the files, None without a file. Raises: ConfigError."""
        if self._path is None:
            return None
        try:
            loaded = self._read(self._path)
            self._check_change(loaded)
        except ConfigError as error:
            problems = "; ".join(map(str, error.problems))
            log.warning("web configuration not reloaded; the old one stays", problems=problems)
            self._on_load(False)
            raise
        return loaded

    def apply(self, loaded: LoadedSettings | None) -> None:
        """Serve with loaded settings from now on."""
        if loaded is not None:
            for warning in _lost_protections(self.settings, loaded.settings):
                log.warning(warning)
            self.settings, self._stamps = loaded.settings, loaded.stamps
            log.info("web configuration reloaded")
            self._on_load(True)

    def _check_change(self, loaded: LoadedSettings) -> None:
        """Check that loaded settings may replace the current ones. Raises: ConfigError."""
        problem = None
        if (loaded.settings.context is None) != (self.settings.context is None):
            problem = Problem(f"{self._path}: tls_server_config", "TLS can be turned on and off by a restart only")
        elif loaded.is_blank and self.settings.config.basic_auth_users:
            problem = Problem(str(self._path), "the file is empty and had users; write {} to remove all users")
        if problem is not None:
            self._stamps = loaded.stamps
            raise ConfigError(problem)

    def _read(self, path: Path) -> LoadedSettings:
        """Return the settings in `path`; remember its stamps even if it is invalid. Raises: ConfigError."""
        # Stamps are taken before the files are read, so that no change is missed in between.
        # A failed read also stamps the certificates known before, so that it is not repeated for each request.
        stamps = _stamps((path, *self._stamps))
        try:
            raw = read_yaml(path)
            config = web_config_from(raw)
            section, folder = config.tls_server_config, path.parent
            stamps = {path: stamps[path]} | _stamps(tls.files_of(section, folder))
            context = tls.server_context(section, folder) if section.is_given else None
        except ConfigError as error:
            self._stamps = stamps
            raise ConfigError(*(_located(problem, path) for problem in error.problems)) from None
        return LoadedSettings(Settings(config, context), stamps, is_blank=raw is None)

    def _unsettled_seconds(self) -> float:
        now = time.time()
        return max((_unsettled_seconds(file, now) for file in self._stamps), default=0.0)


def _located(problem: Problem, file: Path) -> Problem:
    """Return a problem with the file's name: there is another configuration file."""
    places = (str(file), problem.path.removeprefix(str(file)))
    return Problem(": ".join(filter(None, places)), problem.message)


def _lost_protections(before: Settings, after: Settings) -> Iterator[str]:
    if before.config.basic_auth_users and not after.config.basic_auth_users:
        yield "basic auth is off: the web configuration has no users any more"
    if _requires_certificate(before) and not _requires_certificate(after):
        yield "client certificates are not required any more"


def _requires_certificate(settings: Settings) -> bool:
    return settings.context is not None and settings.context.verify_mode is ssl.CERT_REQUIRED


def _unsettled_seconds(file: Path, now: float) -> float:
    """Return how long to wait for a file; 0 for a missing one and one from the future."""
    try:
        age = now - file.stat().st_mtime
    except (OSError, ValueError):
        return 0.0
    return SETTLE_SECONDS - age if 0 <= age < SETTLE_SECONDS else 0.0


def _stamps(files: Iterable[Path]) -> dict[Path, FileStamp]:
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> FileStamp:
    """Return the stamp of the file that a link points to."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
