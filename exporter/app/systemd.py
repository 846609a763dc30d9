"""systemd service notifications, watchdog and socket activation.

Implements sd_notify(3) and sd_listen_fds(3) without their library. The environment and the health check are parameters.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from exporter.errors import ConfigError, Problem

log = structlog.stdlib.get_logger()

FIRST_DESCRIPTOR: Final = 3
"""First of the passed sockets. Source: sd_listen_fds(3), SD_LISTEN_FDS_START."""
PINGS_PER_TIMEOUT: Final = 3
"""Watchdog notifications per watchdog timeout; two may be late."""


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The systemd of this process; without one, notifications do nothing."""

    address: str | None = None
    """Notification socket; a leading @ means the abstract namespace. None disables notifications."""
    watchdog_seconds: float | None = None
    """Watchdog timeout, after which systemd restarts the process; None for no watchdog."""

    @asynccontextmanager
    async def notifying(self, is_healthy: Callable[[], bool]) -> AsyncIterator[None]:
        """Notify systemd of start, stop and health."""
        self._notify("READY=1")
        watchdog = asyncio.create_task(self._ping_watchdog(is_healthy), name="watchdog")
        try:
            yield
        finally:
            watchdog.cancel()
            self._notify("STOPPING=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Notify systemd of the start and end of a reload."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            self._notify("READY=1")

    async def _ping_watchdog(self, is_healthy: Callable[[], bool]) -> None:
        while self.watchdog_seconds is not None:
            if is_healthy():
                self._notify("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / PINGS_PER_TIMEOUT)

    def _notify(self, state: str) -> None:
        if self.address is None:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify_socket:
                notify_socket.setblocking(False)
                notify_socket.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd notification failed", state=state.partition("\n")[0], reason=error.strerror)


NO_SUPERVISOR: Final = Supervisor()


def supervisor_from(environment: Mapping[str, str], process_id: int) -> Supervisor:
    """Return the systemd that the environment names."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return Supervisor()
    microseconds = environment.get("WATCHDOG_USEC", "")
    is_watched = microseconds.isdecimal() and environment.get("WATCHDOG_PID", str(process_id)) == str(process_id)
    return Supervisor(address, int(microseconds) / 1e6 if is_watched and int(microseconds) else None)


def inherited_sockets(environment: Mapping[str, str], process_id: int) -> list[socket.socket]:
    """Return the listening sockets that systemd passed, at least one.

    Raises: ConfigError if there is none, or one that is not a listening TCP socket.
    """
    count = environment.get("LISTEN_FDS", "")
    is_ours = environment.get("LISTEN_PID") == str(process_id)
    if not is_ours or not count.isdecimal() or not int(count):
        raise ConfigError(_problem("systemd passed no socket; start the service through mms-exporter.socket"))
    return [_listening_socket(descriptor) for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))]


def _listening_socket(descriptor: int) -> socket.socket:
    try:
        passed = socket.socket(fileno=descriptor)
        is_listening = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        raise ConfigError(_problem(f"file descriptor {descriptor} is not a socket")) from None
    if not is_listening or passed.family not in (socket.AF_INET, socket.AF_INET6):
        passed.detach()
        raise ConfigError(_problem(f"file descriptor {descriptor} is not a listening TCP socket"))
    passed.set_inheritable(False)
    return passed


def _problem(message: str) -> Problem:
    return Problem("--web.systemd-socket", message)
