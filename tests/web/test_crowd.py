"""Many who guess passwords at once: what waits is bounded, what nobody waits for is not hashed, turns are shared."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import bcrypt
import pytest

from exporter.shapes import Secret
from exporter.web.users import HASHED_AT_ONCE, MAX_WAITING, Login, Users
from tests.harness import eventually
from tests.web.door import Door, basic, door
from tests.web.test_gate import DAVE, written

MOST = HASHED_AT_ONCE + MAX_WAITING
Answer = asyncio.Task[bytes]


class Hashing:
    """Stands for bcrypt: each hash is begun, and ends when it may."""

    def __init__(self) -> None:
        self.asked = 0
        """Logins that wait, or were told what they are."""
        self.begun: list[bytes] = []
        self.may_end = threading.Event()

    def checkpw(self, password: bytes, _: bytes) -> bool:
        self.begun.append(password)
        self.may_end.wait(30)
        return password == b"dave123"


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hashing]:
    held = Hashing()
    admit = Users.admit

    async def counted(users: Users, login: Login, hashes: Mapping[str, Secret], peer: str) -> bool:
        held.asked += 1
        return await admit(users, login, hashes, peer)

    monkeypatch.setattr(bcrypt, "checkpw", held.checkpw)
    monkeypatch.setattr(Users, "admit", counted)
    yield held
    held.may_end.set()


class Crowd:
    """Clients that stay until they are answered, or are told to leave."""

    def __init__(self, ours: Door, hashing: Hashing, stack: AsyncExitStack) -> None:
        self._door = ours
        self._hashing = hashing
        self._stack = stack
        self._writers: list[asyncio.StreamWriter] = []

    async def send(self, password: str, user: str = "dave", peer: str = "127.0.0.1") -> Answer:
        """Send a login, and return the answer to come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._door.port, local_addr=(peer, 0))
        self._stack.callback(writer.transport.abort)
        login = f"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {basic(user, password)}"
        writer.write(login.encode() + b"\r\n\r\n")
        self._writers.append(writer)
        return asyncio.create_task(reader.read())

    async def arrived(self) -> None:
        """Wait until all that was sent waits for its turn."""
        await eventually(lambda: self._hashing.asked == len(self._writers))

    async def leave(self, staying: int = 0) -> None:
        """Hang up, but for the last few."""
        for writer in self._writers[: len(self._writers) - staying]:
            writer.transport.abort()
        await eventually(lambda: len(self._door.server.connections) == staying)


@asynccontextmanager
async def crowd(folder: Path, hashing: Hashing) -> AsyncIterator[Crowd]:
    file = written(folder, f"basic_auth_users: {{dave: {DAVE}}}\n")
    async with door(file) as ours, AsyncExitStack() as stack:
        yield Crowd(ours, hashing, stack)


def statuses(answers: list[bytes]) -> list[bytes]:
    return [answer.split()[1] for answer in answers]


async def test_what_a_client_asked_that_hung_up_is_never_hashed(tmp_path: Path, hashing: Hashing) -> None:
    async with crowd(tmp_path, hashing) as clients:
        for guess in range(50):
            await clients.send(f"guess {guess}")
        await clients.arrived()
        await clients.leave()
        right = await clients.send("dave123")
        hashing.may_end.set()
        assert (await right).split()[1] == b"200"
        assert len(hashing.begun) == HASHED_AT_ONCE + 1


async def test_so_many_wait_and_no_more_and_the_others_are_told_when_to_come_back(
    tmp_path: Path, hashing: Hashing
) -> None:
    async with crowd(tmp_path, hashing) as clients:
        waiting = [await clients.send(f"guess {guess}") for guess in range(MOST)]
        await clients.arrived()
        beyond = [await clients.send(f"beyond {guess}") for guess in range(10)]
        turned_away = [await answer for answer in beyond]
        assert statuses(turned_away) == [b"503"] * 10
        assert b"Retry-After: 1\r\n" in turned_away[0]
        hashing.may_end.set()
        assert statuses([await answer for answer in waiting]) == [b"401"] * MOST
        assert len(hashing.begun) == MOST


@pytest.mark.parametrize("user", ["dave", "nobody"])
async def test_one_address_that_guesses_keeps_no_other_out(tmp_path: Path, hashing: Hashing, user: str) -> None:
    """The other has the next turn, and a place to wait though there was none left."""
    async with crowd(tmp_path, hashing) as clients:
        guesses = [await clients.send(f"guess {guess}", user) for guess in range(MOST)]
        await clients.arrived()
        right = await clients.send("dave123", peer="127.0.0.2")
        await clients.arrived()
        hashing.may_end.set()
        answers = [await answer for answer in guesses]
        assert (await right).split()[1] == b"200"
        assert hashing.begun.index(b"dave123") <= 2 * HASHED_AT_ONCE
        assert statuses(answers).count(b"503") == 1


async def test_guesses_under_one_name_keep_no_other_name_out(tmp_path: Path, hashing: Hashing) -> None:
    """As behind a proxy, where all have one address."""
    async with crowd(tmp_path, hashing) as clients:
        for guess in range(MOST):
            await clients.send(f"guess {guess}", "eve")
        await clients.arrived()
        right = await clients.send("dave123")
        await clients.arrived()
        hashing.may_end.set()
        assert (await right).split()[1] == b"200"
        assert hashing.begun.index(b"dave123") <= 2 * HASHED_AT_ONCE


async def test_the_same_login_of_many_is_hashed_once(tmp_path: Path, hashing: Hashing) -> None:
    async with crowd(tmp_path, hashing) as clients:
        answers = [await clients.send("dave123") for _ in range(MOST + 10)]
        await clients.arrived()
        hashing.may_end.set()
        assert statuses([await answer for answer in answers]) == [b"200"] * (MOST + 10)
        assert hashing.begun == [b"dave123"]


async def test_the_same_login_of_many_addresses_is_hashed_in_its_first_turns_only(
    tmp_path: Path, hashing: Hashing
) -> None:
    async with crowd(tmp_path, hashing) as clients:
        answers = [await clients.send("dave123", peer=f"127.0.0.{each}") for each in range(1, 21)]
        await clients.arrived()
        hashing.may_end.set()
        assert statuses([await answer for answer in answers]) == [b"200"] * 20
        assert len(hashing.begun) == HASHED_AT_ONCE


async def test_a_login_that_one_gives_up_and_another_waits_for_is_hashed(tmp_path: Path, hashing: Hashing) -> None:
    async with crowd(tmp_path, hashing) as clients:
        for password in ("guess 1", "guess 2", "dave123"):
            await clients.send(password)
        right = await clients.send("dave123")
        await clients.arrived()
        await clients.leave(staying=1)
        hashing.may_end.set()
        assert (await right).split()[1] == b"200"
