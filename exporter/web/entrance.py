"""What the web configuration file says now: looked at for each connection and request, read anew when it changed.

A file that cannot be used leaves all as it was, is told once, and is seen in the metrics. Knows nothing of requests.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from exporter.errors import ConfigError, Problem
from exporter.web import tls
from exporter.web.web_config import WebConfig, web_config_from
from exporter.yaml_files import read_yaml

log = structlog.stdlib.get_logger()

REST_SECONDS: Final = 0.1
"""A file written less long ago may be half written: users or a client CA may be missing that are about to come.
It holds for the certificates too, and for all at once: a pair is written one by one."""

Stamp = tuple[int, ...]
"""Differs when a file does; () for one that is not there."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A web configuration that can be served."""

    config: WebConfig = field(default_factory=WebConfig)
    context: ssl.SSLContext | None = None
    """None for plain HTTP."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and can be taken over."""

    settings: Settings
    seen: dict[Path, Stamp]
    """The files that were read, as they were."""
    is_blank: bool
    """Whether nothing stands in the web configuration file, as in one whose writing was cut short."""


class Entrance:
    """The settings of the moment."""

    def __init__(self, path: Path | None, note_load: Callable[[bool], None] = lambda _: None) -> None:
        """Read `path`, where there is one. `note_load` is told of each reading after that. Raises: ConfigError."""
        self._path = path
        self._note_load = note_load
        self._seen: dict[Path, Stamp] = {}
        self.settings = Settings()
        if path is not None:
            reading = self._read(path)
            self.settings, self._seen = reading.settings, reading.seen
        if self.settings.context is not None and self.settings.config.http_server_config.http2:
            log.debug("HTTP/2 is not offered; HTTP/1.1 is served")
        _tell_of_end(self.settings, time.time())

    def look(self) -> None:
        """Read the file anew where it, or a file that it names, changed and is at rest."""
        if self._rest_seconds() == 0 and self._seen != _stamps(self._seen):
            with contextlib.suppress(ConfigError):
                self.take(self.read())

    async def settled(self) -> Settings:
        """Return the settings; where a file is being written, wait a moment for its rest."""
        if (seconds := self._rest_seconds()) > 0:
            await asyncio.sleep(seconds)
        self.look()
        return self.settings

    def read(self) -> Reading | None:
        """Return what the file says now, to be taken over or not; None where there is no file. Raises: ConfigError."""
        if self._path is None:
            return None
        try:
            reading = self._read(self._path)
            self._check_following(reading)
        except ConfigError as error:
            problems = "; ".join(map(str, error.problems))
            log.warning("web configuration not read anew; the old one stays", problems=problems)
            self._note_load(False)
            raise
        return reading

    def take(self, reading: Reading | None) -> None:
        """Serve what was read from now on; what changed in the files since then will be noticed."""
        if reading is not None:
            for loss in _losses(self.settings, reading.settings):
                log.warning(loss)
            self.settings, self._seen = reading.settings, reading.seen
            log.info("web configuration read anew")
            _tell_of_end(self.settings, time.time())
            self._note_load(True)

    def _check_following(self, reading: Reading) -> None:
        """Check that what was read can follow what is served now. Raises: ConfigError."""
        if (reading.settings.context is None) != (self.settings.context is None):
            self._seen = reading.seen
            raise ConfigError(Problem(f"{self._path}: tls_server_config", "TLS comes and goes with a restart only"))
        if reading.is_blank and self.settings.config.basic_auth_users:
            self._seen = reading.seen
            raise ConfigError(Problem(str(self._path), "is empty, and had users: write {} to let everyone enter"))

    def _read(self, path: Path) -> Reading:
        """Return what is in the file; one that cannot be used has been seen for all that. Raises: ConfigError."""
        # Stamps are taken before the files are read, so that no change falls between.
        # A reading that fails has seen the others as well, or each look would be a reading until the file is mended.
        seen = _stamps((path, *self._seen))
        try:
            raw = read_yaml(path)
            config = web_config_from(raw)
            section, folder = config.tls_server_config, path.parent
            seen = {path: seen[path]} | _stamps(tls.files_of(section, folder))
            context = tls.server_context(section, folder) if section.is_given else None
        except ConfigError as error:
            self._seen = seen
            raise ConfigError(*(_placed(problem, path) for problem in error.problems)) from None
        return Reading(Settings(config, context), seen, is_blank=raw is None)

    def _rest_seconds(self) -> float:
        """Return how long it takes until every file has rested; one that is gone, or of the future, is at rest."""
        now = time.time()
        return max((_rest_seconds(file, now) for file in self._seen), default=0.0)


def _placed(problem: Problem, file: Path) -> Problem:
    """Return a problem that says in which file it is: there is another configuration beside this one."""
    places = (str(file), problem.path.removeprefix(str(file)))
    return Problem(": ".join(filter(None, places)), problem.message)


def _tell_of_end(settings: Settings, now: float) -> None:
    """Warn of a certificate that has expired: it is served, and clients refuse it."""
    end = tls.ends_at(settings.context) if settings.context is not None else None
    if end is not None and end < now:
        log.warning("the certificate of the web configuration has expired", on=f"{datetime.fromtimestamp(end, UTC):%F}")


def _losses(before: Settings, after: Settings) -> Iterator[str]:
    """Yield what was asked of clients before, and is not any more."""
    if before.config.basic_auth_users and not after.config.basic_auth_users:
        yield "no password is asked for any more: the web configuration names no users"
    if _has_to_show(before) and not _has_to_show(after):
        yield "no client certificate is required any more, by the web configuration"


def _has_to_show(settings: Settings) -> bool:
    """Tell whether a client has to show a certificate."""
    return settings.context is not None and settings.context.verify_mode is ssl.CERT_REQUIRED


def _rest_seconds(file: Path, now: float) -> float:
    try:
        age = now - file.stat().st_mtime
    except (OSError, ValueError):
        return 0.0
    return REST_SECONDS - age if 0 <= age < REST_SECONDS else 0.0


def _stamps(files: Iterable[Path]) -> dict[Path, Stamp]:
    return {file: _stamp(file) for file in files}


def _stamp(file: Path) -> Stamp:
    """Return the stamp of a file; a link is followed, so that one that is turned is seen."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
