"""What a service and systemd tell each other: that it is ready, reloads, lives and ends, and which sockets are open.

The protocols of sd_notify(3) and sd_listen_fds(3), without their library. The environment is a parameter, and what
health means is the caller's.
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
"""Of the sockets that systemd hands over. Source: sd_listen_fds(3), SD_LISTEN_FDS_START."""
SIGNS_PER_TIMEOUT: Final = 3
"""How often a sign of life is given within the time that systemd waits for one: two may be late."""


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The systemd that started this process; where none did, nothing is told to anybody."""

    address: str | None = None
    """Of the socket on which it listens; a leading @ stands for the abstract namespace."""
    watchdog_seconds: float | None = None
    """How long it waits for a sign of life before it starts the process anew; None: for ever."""

    @asynccontextmanager
    async def informed(self, is_healthy: Callable[[], bool]) -> AsyncIterator[None]:
        """Tell that the service answers, that it lives for as long as it is healthy, and that it ends."""
        self._tell("READY=1")
        signs = asyncio.create_task(self._give_signs(is_healthy), name="watchdog")
        try:
            yield
        finally:
            signs.cancel()
            self._tell("STOPPING=1")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell when a reload begins and when it has ended, well or badly."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            self._tell("READY=1")

    async def _give_signs(self, is_healthy: Callable[[], bool]) -> None:
        while self.watchdog_seconds is not None:
            if is_healthy():
                self._tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / SIGNS_PER_TIMEOUT)

    def _tell(self, state: str) -> None:
        if self.address is None:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messenger:
                messenger.setblocking(False)
                messenger.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd notification failed", state=state.partition("\n")[0], reason=error.strerror)


NO_SUPERVISOR: Final = Supervisor()
"""What stands in for a systemd that is not there."""


def supervisor(environment: Mapping[str, str], process_id: int) -> Supervisor:
    """Return the systemd that the environment of this process names."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return Supervisor()
    microseconds = environment.get("WATCHDOG_USEC", "")
    is_watched = microseconds.isdecimal() and environment.get("WATCHDOG_PID", str(process_id)) == str(process_id)
    return Supervisor(address, int(microseconds) / 1e6 if is_watched and int(microseconds) else None)


def inherited_sockets(environment: Mapping[str, str], process_id: int) -> list[socket.socket]:
    """Return the sockets that systemd opened for this process, at least one.

    Raises: ConfigError where there is none, or one that no HTTP server can listen on.
    """
    count = environment.get("LISTEN_FDS", "")
    is_ours = environment.get("LISTEN_PID") == str(process_id)
    if not is_ours or not count.isdecimal() or not int(count):
        raise ConfigError(_problem("systemd passed no socket; start the service through mms-exporter.socket"))
    return [_listening(descriptor) for descriptor in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))]


def _listening(descriptor: int) -> socket.socket:
    try:
        found = socket.socket(fileno=descriptor)
        is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        raise ConfigError(_problem(f"file descriptor {descriptor} is not a socket")) from None
    if not is_listening or found.family not in (socket.AF_INET, socket.AF_INET6):
        found.detach()
        raise ConfigError(_problem(f"file descriptor {descriptor} is not a listening TCP socket"))
    found.set_inheritable(False)
    return found


def _problem(message: str) -> Problem:
    return Problem("--web.systemd-socket", message)
