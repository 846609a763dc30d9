"""Basic auth: accepted logins, hashing cost, and the limit of pending logins."""

import asyncio
import threading
from collections.abc import Iterator

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.sections import Secret
from exporter.errors import ConfigError
from exporter.web.security.basic_auth import (
    HASHED_AT_ONCE,
    MAX_PENDING,
    BasicAuth,
    Login,
    TooManyLogins,
    parse_basic_auth,
)
from exporter.web.security.web_config import web_config_from
from tests.harness import eventually
from tests.web.http_fixture import basic

CHEAP = Secret("$2y$05$rpuXrTplECsQ5ePBWc82peXm.9oqZajLTN9IShHh/ThbSxNiBQP3K")
"""Hash of dave123."""
DEAR = Secret("$2b$11$Fv7Hb38LB5dHskQ3wIqa3uz8BgxT43rVN9fyKbelntD3QbrhZ/9PK")
"""Hash of dave."""
LONG = Secret("$2b$05$fv5I88WxOqmUXrIGCgp2LO5gc5mLyORaDOZR08pbLn50/tywTXc7K")
"""Hash of x repeated 72 times."""
NO_SALT = "$2y$04$" + "9" * 53
"""The characters of a hash, with an invalid salt."""
LETTERS = st.text("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", min_size=53, max_size=53)
RIGHT = Login(b"dave", b"dave123")


class Hashing:
    """Records the calls of bcrypt and delays them until `may_end` is set."""

    def __init__(self) -> None:
        self.passwords: list[bytes] = []
        self.hashes: list[bytes] = []
        self.may_end = threading.Event()
        self.may_end.set()
        self._checkpw = bcrypt.checkpw

    def checkpw(self, password: bytes, hashed: bytes) -> bool:
        self.passwords.append(password)
        self.hashes.append(hashed)
        self.may_end.wait(30)
        return self._checkpw(password, hashed)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hashing]:
    held = Hashing()
    monkeypatch.setattr(bcrypt, "checkpw", held.checkpw)
    yield held
    held.may_end.set()


async def test_a_login_needs_the_name_and_the_password_of_one_user() -> None:
    auth, hashes = BasicAuth(), {"dave": CHEAP, "eve": LONG}
    assert await auth.authenticate(RIGHT, hashes)
    for user, password in ((b"dave", b"dave124"), (b"carol", b"dave123"), (b"eve", b"dave123"), (b"", b"")):
        assert not await auth.authenticate(Login(user, password), hashes)


async def test_a_known_login_is_valid_for_the_configured_hash_only() -> None:
    auth = BasicAuth()
    assert await auth.authenticate(RIGHT, {"dave": CHEAP})
    assert not await auth.authenticate(RIGHT, {"dave": DEAR})
    assert not await auth.authenticate(RIGHT, {"carol": CHEAP})


async def test_an_unknown_user_is_known_once_configured() -> None:
    auth, login = BasicAuth(), Login(b"eve", b"dave123")
    assert not await auth.authenticate(login, {"dave": CHEAP})
    assert await auth.authenticate(login, {"dave": CHEAP, "eve": CHEAP})


@pytest.mark.parametrize("user", [b"nobody", b"dave"])
async def test_an_unknown_user_costs_as_much_as_a_wrong_password(hashing: Hashing, user: bytes) -> None:
    assert not await BasicAuth().authenticate(Login(user, b"wrong"), {"dave": DEAR})
    assert hashing.hashes == [DEAR.text.encode()]


async def test_with_different_costs_an_unknown_user_costs_the_median(hashing: Hashing) -> None:
    assert not await BasicAuth().authenticate(Login(b"nobody", b"wrong"), {"dave": CHEAP, "eve": DEAR, "carol": LONG})
    assert hashing.hashes[0][4:6] == b"05"


async def test_a_known_login_is_not_hashed_again_even_after_many_guesses(hashing: Hashing) -> None:
    auth, hashes = BasicAuth(), {"dave": CHEAP}
    assert await auth.authenticate(RIGHT, hashes)
    for guess in range(20):
        assert not await auth.authenticate(Login(b"dave", b"%d" % guess), hashes)
    hashing.passwords.clear()
    assert all([await auth.authenticate(RIGHT, hashes) for _ in range(100)])
    assert hashing.passwords == []


async def test_guesses_beyond_the_limit_are_rejected_and_known_logins_are_not(hashing: Hashing) -> None:
    auth, hashes = BasicAuth(), {"dave": CHEAP}
    assert await auth.authenticate(RIGHT, hashes)
    hashing.may_end.clear()
    guesses = [
        asyncio.create_task(auth.authenticate(Login(b"dave", b"%d" % guess), hashes)) for guess in range(MAX_PENDING)
    ]
    await eventually(lambda: len(hashing.passwords) == 1 + HASHED_AT_ONCE)
    with pytest.raises(TooManyLogins):
        await auth.authenticate(Login(b"eve", b"one more"), hashes)
    assert await auth.authenticate(RIGHT, hashes)
    hashing.may_end.set()
    assert not any(await asyncio.gather(*guesses))
    assert not await auth.authenticate(Login(b"eve", b"one more"), hashes)


async def test_the_same_login_of_200_scrapers_is_hashed_once(hashing: Hashing) -> None:
    auth, hashes = BasicAuth(), {"dave": CHEAP}
    results = await asyncio.gather(*(auth.authenticate(RIGHT, hashes) for _ in range(200)))
    assert results == [True] * 200
    assert len(hashing.passwords) == 1


async def test_a_cancelled_request_does_not_cancel_the_same_login_of_another() -> None:
    auth, hashes = BasicAuth(), {"dave": DEAR}
    first, second = (asyncio.create_task(auth.authenticate(Login(b"dave", b"dave"), hashes)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second


async def test_the_event_loop_runs_while_a_password_is_hashed(hashing: Hashing) -> None:
    hashing.may_end.clear()
    checked = asyncio.create_task(BasicAuth().authenticate(RIGHT, {"dave": CHEAP}))
    await eventually(lambda: len(hashing.passwords) == 1)
    assert not checked.done()
    hashing.may_end.set()
    assert await checked


async def test_72_bytes_of_a_password_count_as_in_bcrypt_and_the_toolkit() -> None:
    auth, hashes = BasicAuth(), {"dave": LONG}
    for password, is_right in (("x" * 72 + "y", True), ("x" * 71 + "y", False)):
        login = parse_basic_auth(basic("dave", password))
        assert login is not None
        assert await auth.authenticate(login, hashes) is is_right


@given(st.text())
def test_no_authorization_header_raises(header: str) -> None:
    login = parse_basic_auth(header)
    assert login is None or repr(login) == "Login(...)"


@given(st.text().filter(lambda user: ":" not in user), st.text(max_size=18))
def test_a_login_is_parsed_unchanged(user: str, password: str) -> None:
    login = parse_basic_auth(basic(user, password))
    assert login is not None
    assert (login.user.decode(), login.password.decode()) == (user, password)


def is_accepted(hashed: str) -> bool:
    try:
        web_config_from({"basic_auth_users": {"dave": hashed}})
    except ConfigError:
        return False
    return True


@given(st.builds("${}$04${}".format, st.sampled_from(["2a", "2b", "2x", "2y"]), LETTERS))
def test_bcrypt_can_use_every_hash_that_the_web_configuration_accepts(hashed: str) -> None:
    if is_accepted(hashed):
        assert bcrypt.checkpw(b"", hashed.encode()) in (True, False)


@given(st.binary(max_size=72))
def test_the_web_configuration_accepts_every_hash_that_bcrypt_makes(password: bytes) -> None:
    assert is_accepted(bcrypt.hashpw(password, bcrypt.gensalt(4)).decode())


async def test_a_hash_that_bcrypt_cannot_parse_matches_nothing() -> None:
    assert not await BasicAuth().authenticate(Login(b"dave", b"9"), {"dave": Secret(NO_SALT)})
