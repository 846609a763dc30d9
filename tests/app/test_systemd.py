"""systemd notifications and socket activation, with real sockets."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.app.systemd import FIRST_DESCRIPTOR, Supervisor, inherited_sockets, supervisor_from
from exporter.errors import ConfigError
from exporter.simulator import Simulator
from tests.processes import run, serving, write_config
from tests.web.http_fixture import Certificates, ask

PASS_SOCKET = f"""
import os, sys
os.dup2(int(sys.argv[1]), {FIRST_DESCRIPTOR})
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "exporter", *sys.argv[2:]])
"""
"""Passes a socket as systemd does; the first argument is its descriptor."""


@asynccontextmanager
async def listening_at(address: str | bytes) -> AsyncIterator[socket.socket]:
    """Provide the notification socket of systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.setblocking(False)
        yield listener


async def notification(listener: socket.socket) -> str:
    """Return the next notification."""
    async with asyncio.timeout(20):
        return (await asyncio.get_running_loop().sock_recv(listener, 4096)).decode()


async def test_systemd_is_notified_of_start_reload_and_stop(simulator: Simulator, tmp_path: Path) -> None:
    file = write_config(tmp_path, simulator.url)
    async with listening_at(str(tmp_path / "notify")) as listener:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with serving(f"--config.file={file}", environment=environment) as running:
            assert await notification(listener) == "READY=1"
            running.process.send_signal(signal.SIGHUP)
            assert (await notification(listener)).startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert await notification(listener) == "READY=1"
            await running.end()
            assert await notification(listener) == "STOPPING=1"


async def test_systemd_is_notified_of_the_end_of_a_failed_reload(tmp_path: Path) -> None:
    async with listening_at(str(tmp_path / "notify")) as listener:
        with pytest.raises(ConfigError), Supervisor(str(tmp_path / "notify")).reloading():
            raise ConfigError
        assert (await notification(listener)).startswith("RELOADING=1")
        assert await notification(listener) == "READY=1"


async def test_a_healthy_service_pings_the_watchdog(tmp_path: Path) -> None:
    watching = Supervisor(str(tmp_path / "notify"), watchdog_seconds=0.03)
    async with listening_at(str(tmp_path / "notify")) as listener, watching.notifying(lambda: True):
        assert [await notification(listener) for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]


async def test_an_unhealthy_service_does_not_ping_the_watchdog(tmp_path: Path) -> None:
    checks = asyncio.Semaphore(0)

    def is_healthy() -> bool:
        checks.release()
        return False

    async with listening_at(str(tmp_path / "notify")) as listener:
        async with Supervisor(str(tmp_path / "notify"), watchdog_seconds=0.03).notifying(is_healthy):
            assert await notification(listener) == "READY=1"
            for _ in range(3):
                await checks.acquire()
        assert await notification(listener) == "STOPPING=1"


async def test_an_abstract_socket_address_works() -> None:
    name = f"mms-exporter-test-{os.getpid()}"
    async with listening_at(f"\0{name}".encode()) as listener, Supervisor(f"@{name}").notifying(lambda: True):
        assert await notification(listener) == "READY=1"


async def test_a_missing_notify_socket_is_not_an_error(tmp_path: Path) -> None:
    async with Supervisor(str(tmp_path / "nobody")).notifying(lambda: True):
        pass


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Supervisor()),
        ({"NOTIFY_SOCKET": ""}, Supervisor()),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, Supervisor()),
        ({"NOTIFY_SOCKET": "/run/n"}, Supervisor("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000"}, Supervisor("/run/n", 30)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, Supervisor("/run/n", 30)),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, Supervisor("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "0"}, Supervisor("/run/n")),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "soon"}, Supervisor("/run/n")),
        ({"WATCHDOG_USEC": "30000000"}, Supervisor()),
    ],
)
def test_the_supervisor_is_parsed_from_the_environment(environment: dict[str, str], expected: Supervisor) -> None:
    assert supervisor_from(environment, process_id=7) == expected


async def test_the_exporter_serves_on_an_inherited_socket(simulator: Simulator, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        pass_socket = ("-c", PASS_SOCKET, str(listening.fileno()))
        arguments = (f"--config.file={write_config(tmp_path, simulator.url)}", "--web.systemd-socket")
        async with serving(*arguments, program=pass_socket, descriptors=[listening.fileno()]) as running:
            assert running.urls == [f"http://127.0.0.1:{listening.getsockname()[1]}"]
            assert (await running.get("/-/healthy"))[0] == 200


async def test_tls_is_served_on_an_inherited_socket(simulator: Simulator, certificates: Certificates) -> None:
    web = certificates.folder / "web.yml"
    web.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config, port = write_config(certificates.folder, simulator.url), listening.getsockname()[1]
        arguments = (f"--config.file={config}", f"--web.config.file={web}", "--web.systemd-socket")
        pass_socket = ("-c", PASS_SOCKET, str(listening.fileno()))
        async with serving(*arguments, program=pass_socket, descriptors=[listening.fileno()]) as running:
            assert running.urls == [f"https://127.0.0.1:{port}"]
            assert await ask(port, certificates.client_context()) == 200


async def test_config_check_needs_no_socket() -> None:
    ended = await run("--mms.region=cn-shanghai", "--web.systemd-socket", "--config.check")
    assert (ended.code, ended.out) == (0, "the configuration is valid: 1 account\n")


async def test_a_missing_inherited_socket_is_an_error() -> None:
    ended = await run("--mms.region=cn-shanghai", "--web.systemd-socket")
    assert ended.code == 2
    assert ended.err == (
        "mms-exporter: --web.systemd-socket: systemd passed no socket; start the service through mms-exporter.socket\n"
    )


@pytest.fixture
def descriptor_3() -> Iterator[None]:
    """Restore the descriptor of the first passed socket after the test."""
    kept = os.dup(FIRST_DESCRIPTOR)
    yield
    os.dup2(kept, FIRST_DESCRIPTOR)
    os.close(kept)


@pytest.mark.usefixtures("descriptor_3")
@pytest.mark.parametrize(
    ("family", "kind", "problem"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "is not a listening TCP socket"),
        (socket.AF_INET, socket.SOCK_DGRAM, "is not a listening TCP socket"),
        (None, None, "is not a socket"),
    ],
)
def test_a_descriptor_that_is_not_a_listening_tcp_socket_is_rejected(
    family: socket.AddressFamily | None, kind: socket.SocketKind | None, problem: str
) -> None:
    source = os.open(os.devnull, os.O_RDONLY) if kind is None else socket.socket(family or -1, kind).detach()
    os.dup2(source, FIRST_DESCRIPTOR)
    os.close(source)
    with pytest.raises(ConfigError, match=f"--web.systemd-socket: file descriptor 3 {problem}"):
        inherited_sockets({"LISTEN_FDS": "1", "LISTEN_PID": "7"}, process_id=7)


@pytest.mark.parametrize(
    "environment",
    [{"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "8"}, {"LISTEN_FDS": "0", "LISTEN_PID": "7"}],
)
def test_sockets_of_another_process_are_ignored(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="passed no socket"):
        inherited_sockets(environment, process_id=7)
