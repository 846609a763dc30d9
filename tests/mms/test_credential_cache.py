"""Cache, errors and timeouts of the vendor's credentials library."""

import asyncio
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.errors import CredentialsUnavailable
from exporter.mms import credentials
from exporter.mms.credentials import CACHE_SECONDS, LibraryCredentials
from exporter.mms.signing import Credential
from tests.mms.conftest import FakeClock
from tests.mms.test_credentials import CANARY, run


@dataclass
class Found:
    """A credential of the vendor's library."""

    key: str | None = "LTAI-EXAMPLE"
    secret: str | None = f"secret-{CANARY}"
    token: str | None = ""

    def get_access_key_id(self) -> str | None:
        return self.key

    def get_access_key_secret(self) -> str | None:
        return self.secret

    def get_security_token(self) -> str | None:
        return self.token


@dataclass
class Library:
    """Replaces the vendor's library and counts its calls."""

    answer: Callable[[], Found] = Found
    made: int = 0
    asked: int = 0

    def make(self) -> "Library":
        self.made += 1
        return self

    def get_credentials(self) -> Found:
        self.asked += 1
        return self.answer()


async def test_concurrent_callers_share_one_library_call() -> None:
    library = Library()
    source = LibraryCredentials(library.make)
    found = await asyncio.gather(*(source.get() for _ in range(20)))
    assert set(found) == {Credential("LTAI-EXAMPLE", f"secret-{CANARY}", None)}
    assert (library.made, library.asked) == (1, 1)


async def test_a_credential_is_cached_until_expiry(fake_clock: FakeClock) -> None:
    library = Library()
    source = LibraryCredentials(library.make, fake_clock.clock)
    await source.get()
    fake_clock.ahead += CACHE_SECONDS - 1
    await source.get()
    assert library.asked == 1
    fake_clock.ahead += 2
    await source.get()
    assert (library.made, library.asked) == (1, 2)


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0], ids=["forwards", "backwards"])
async def test_a_wall_clock_jump_does_not_affect_the_cache(fake_clock: FakeClock, jump: float) -> None:
    library = Library()
    source = LibraryCredentials(library.make, fake_clock.clock)
    await source.get()
    fake_clock.wall_ahead += jump
    await source.get()
    assert library.asked == 1
    fake_clock.ahead += CACHE_SECONDS + 1
    await source.get()
    assert library.asked == 2


async def test_forget_creates_a_new_provider() -> None:
    library = Library()
    source = LibraryCredentials(library.make)
    source.forget(await source.get())
    await source.get()
    assert (library.made, library.asked) == (2, 2)


async def test_forget_ignores_an_already_replaced_credential() -> None:
    """After a key rotation, all concurrent calls are rejected with the old key."""
    keys = iter(("first", "second"))
    library = Library(lambda: Found(key=next(keys)))
    source = LibraryCredentials(library.make)
    first = await source.get()
    for _ in range(8):
        source.forget(first)
        assert (await source.get()).access_key_id == "second"
    assert library.asked == 2


async def test_an_unknown_library_error_shows_only_its_type() -> None:
    def fail() -> Found:
        raise OSError(CANARY)

    source = LibraryCredentials(Library(fail).make)
    with pytest.raises(CredentialsUnavailable) as caught:
        await source.get()
    assert str(caught.value) == "no credentials: the Alibaba Cloud library found none (OSError)"
    assert CANARY not in "".join(traceback.format_exception(caught.value))


async def test_a_provider_that_fails_to_start_raises_credentials_unavailable() -> None:
    def make() -> Library:
        raise ValueError(CANARY)

    with pytest.raises(CredentialsUnavailable, match=r"no credentials: .* \(ValueError\)"):
        await LibraryCredentials(make).get()


async def test_an_error_is_not_cached() -> None:
    failures: list[Exception] = [OSError(), KeyError()]

    def answer() -> Found:
        if failures:
            raise failures.pop()
        return Found()

    source = LibraryCredentials(Library(answer).make)
    for _ in range(2):
        with pytest.raises(CredentialsUnavailable):
            await source.get()
    assert (await source.get()).access_key_id == "LTAI-EXAMPLE"


@pytest.mark.parametrize("found", [Found(key=None), Found(secret=None), Found(key=""), Found(secret="")], ids=repr)
async def test_an_incomplete_credential_raises_credentials_unavailable(found: Found) -> None:
    with pytest.raises(CredentialsUnavailable):
        await LibraryCredentials(Library(lambda: found).make).get()


async def test_a_hanging_library_times_out_without_blocking_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "TIMEOUT_SECONDS", 0.3)
    is_asked, may_end = threading.Event(), threading.Event()

    def answer() -> Found:
        is_asked.set()
        assert may_end.wait(20)
        return Found()

    asking = asyncio.create_task(LibraryCredentials(Library(answer).make).get())
    turns = 0
    async with asyncio.timeout(10):
        while not is_asked.is_set():
            turns += 1
            await asyncio.sleep(0)
    assert turns > 0
    assert not asking.done()
    with pytest.raises(CredentialsUnavailable, match=r"no credentials within 0.3 s"):
        await asking
    may_end.set()
    for thread in threading.enumerate():
        if thread.name == "credentials":
            await asyncio.to_thread(thread.join)


HANGING = """
import asyncio, sys, threading, time
from exporter.errors import CredentialsUnavailable
from exporter.mms import credentials

credentials.TIMEOUT_SECONDS = 0.1
may_end = threading.Event()

class Hanging:
    def get_credentials(self):
        may_end.wait()
        raise OSError

async def main():
    try:
        await credentials.LibraryCredentials(Hanging).get()
    except CredentialsUnavailable as error:
        print(error)

asyncio.run(main())
"""
RELEASED = """
may_end.set()
for thread in threading.enumerate():
    if thread.name == "credentials":
        thread.join()
"""


async def test_a_hanging_library_does_not_block_exit(tmp_path: Path) -> None:
    outcome = await run(HANGING, tmp_path)
    assert (outcome.code, outcome.out, outcome.errors) == (0, "no credentials within 0.1 s\n", "")


async def test_a_late_library_error_is_ignored(tmp_path: Path) -> None:
    """The program prints no traceback."""
    outcome = await run(HANGING + RELEASED, tmp_path)
    assert (outcome.code, outcome.out, outcome.errors) == (0, "no credentials within 0.1 s\n", "")
