"""What systemd is told, and the sockets it hands over: a real datagram socket, real inherited sockets."""

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

HAND_OVER = f"""
import os, sys
os.dup2(int(sys.argv[1]), {FIRST_DESCRIPTOR})
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "exporter", *sys.argv[2:]])
"""
"""What systemd does between fork and exec; the first argument is the descriptor of the socket."""


@asynccontextmanager
async def listening_at(address: str | bytes) -> AsyncIterator[socket.socket]:
    """Provide the socket on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)
        ear.setblocking(False)
        yield ear


async def heard(ear: socket.socket) -> str:
    """Return the next thing that systemd is told."""
    async with asyncio.timeout(20):
        return (await asyncio.get_running_loop().sock_recv(ear, 4096)).decode()


async def test_it_tells_when_it_answers_when_it_reloads_and_when_it_ends(simulator: Simulator, tmp_path: Path) -> None:
    file = write_config(tmp_path, simulator.url)
    async with listening_at(str(tmp_path / "notify")) as ear:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with serving(f"--config.file={file}", environment=environment) as running:
            assert await heard(ear) == "READY=1"
            running.process.send_signal(signal.SIGHUP)
            assert (await heard(ear)).startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert await heard(ear) == "READY=1"
            await running.end()
            assert await heard(ear) == "STOPPING=1"


async def test_a_reload_that_fails_ends_too(tmp_path: Path) -> None:
    async with listening_at(str(tmp_path / "notify")) as ear:
        with pytest.raises(ConfigError), Supervisor(str(tmp_path / "notify")).reloading():
            raise ConfigError
        assert (await heard(ear)).startswith("RELOADING=1")
        assert await heard(ear) == "READY=1"


async def test_a_watched_service_gives_signs_of_life(tmp_path: Path) -> None:
    watching = Supervisor(str(tmp_path / "notify"), watchdog_seconds=0.03)
    async with listening_at(str(tmp_path / "notify")) as ear, watching.notifying(lambda: True):
        assert [await heard(ear) for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]


async def test_a_service_that_is_not_healthy_gives_none(tmp_path: Path) -> None:
    asked = asyncio.Semaphore(0)

    def is_healthy() -> bool:
        asked.release()
        return False

    async with listening_at(str(tmp_path / "notify")) as ear:
        async with Supervisor(str(tmp_path / "notify"), watchdog_seconds=0.03).notifying(is_healthy):
            assert await heard(ear) == "READY=1"
            for _ in range(3):
                await asked.acquire()
        assert await heard(ear) == "STOPPING=1"


async def test_an_abstract_address_is_understood() -> None:
    name = f"mms-exporter-test-{os.getpid()}"
    async with listening_at(f"\0{name}".encode()) as ear, Supervisor(f"@{name}").notifying(lambda: True):
        assert await heard(ear) == "READY=1"


async def test_a_systemd_that_does_not_listen_is_no_trouble(tmp_path: Path) -> None:
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
def test_the_environment_names_systemd(environment: dict[str, str], expected: Supervisor) -> None:
    assert supervisor_from(environment, process_id=7) == expected


async def test_it_serves_on_the_socket_that_systemd_opened(simulator: Simulator, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        hand_over = ("-c", HAND_OVER, str(opened.fileno()))
        arguments = (f"--config.file={write_config(tmp_path, simulator.url)}", "--web.systemd-socket")
        async with serving(*arguments, program=hand_over, descriptors=[opened.fileno()]) as running:
            assert running.urls == [f"http://127.0.0.1:{opened.getsockname()[1]}"]
            assert (await running.get("/-/healthy"))[0] == 200


async def test_tls_is_served_on_the_socket_that_systemd_opened(
    simulator: Simulator, certificates: Certificates
) -> None:
    web = certificates.folder / "web.yml"
    web.write_text("tls_server_config: {cert_file: server.pem, key_file: server.key}", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as opened:
        config, port = write_config(certificates.folder, simulator.url), opened.getsockname()[1]
        arguments = (f"--config.file={config}", f"--web.config.file={web}", "--web.systemd-socket")
        hand_over = ("-c", HAND_OVER, str(opened.fileno()))
        async with serving(*arguments, program=hand_over, descriptors=[opened.fileno()]) as running:
            assert running.urls == [f"https://127.0.0.1:{port}"]
            assert await ask(port, certificates.client_context()) == 200


async def test_a_check_of_the_configuration_needs_no_socket() -> None:
    ended = await run("--mms.region=cn-shanghai", "--web.systemd-socket", "--config.check")
    assert (ended.code, ended.out) == (0, "the configuration is valid: 1 account\n")


async def test_without_a_socket_from_systemd_it_says_what_is_lacking() -> None:
    ended = await run("--mms.region=cn-shanghai", "--web.systemd-socket")
    assert ended.code == 2
    assert ended.err == (
        "mms-exporter: --web.systemd-socket: systemd passed no socket; start the service through mms-exporter.socket\n"
    )


@pytest.fixture
def descriptor_3() -> Iterator[None]:
    """Keep what the tests' process has at the place of the first socket."""
    kept = os.dup(FIRST_DESCRIPTOR)
    yield
    os.dup2(kept, FIRST_DESCRIPTOR)
    os.close(kept)


@pytest.mark.usefixtures("descriptor_3")
@pytest.mark.parametrize(
    ("family", "kind", "complaint"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, "is not a listening TCP socket"),
        (socket.AF_INET, socket.SOCK_DGRAM, "is not a listening TCP socket"),
        (None, None, "is not a socket"),
    ],
)
def test_what_no_server_can_listen_on_is_refused(
    family: socket.AddressFamily | None, kind: socket.SocketKind | None, complaint: str
) -> None:
    source = os.open(os.devnull, os.O_RDONLY) if kind is None else socket.socket(family or -1, kind).detach()
    os.dup2(source, FIRST_DESCRIPTOR)
    os.close(source)
    with pytest.raises(ConfigError, match=f"--web.systemd-socket: file descriptor 3 {complaint}"):
        inherited_sockets({"LISTEN_FDS": "1", "LISTEN_PID": "7"}, process_id=7)


@pytest.mark.parametrize(
    "environment",
    [{"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "8"}, {"LISTEN_FDS": "0", "LISTEN_PID": "7"}],
)
def test_sockets_of_another_process_are_left_alone(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="passed no socket"):
        inherited_sockets(environment, process_id=7)
