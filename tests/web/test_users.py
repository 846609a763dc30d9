"""Who may enter, and what it costs to find out."""

import asyncio

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import ConfigError
from exporter.shapes import Secret
from exporter.web import users as module
from exporter.web.users import Login, Users
from exporter.web.web_config import web_config_from

CHEAP = Secret("$2y$05$rpuXrTplECsQ5ePBWc82peXm.9oqZajLTN9IShHh/ThbSxNiBQP3K")
"""Of dave123."""
DEAR = Secret("$2b$11$Fv7Hb38LB5dHskQ3wIqa3uz8BgxT43rVN9fyKbelntD3QbrhZ/9PK")
"""Of dave."""
LONG = Secret("$2b$05$fv5I88WxOqmUXrIGCgp2LO5gc5mLyORaDOZR08pbLn50/tywTXc7K")
"""Of 72 times x."""
NO_SALT = "$2y$04$" + "9" * 53
"""It has the characters of a hash, and a salt that is none."""
LETTERS = st.text("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", min_size=53, max_size=53)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Provide the hashes that passwords were compared with, each as often as bcrypt did it."""
    compared: list[bytes] = []
    checkpw = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        compared.append(hashed)
        return checkpw(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    return compared


async def test_a_user_is_known_by_name_and_password() -> None:
    users, hashes = Users(), {"dave": CHEAP}
    assert await users.admit(Login(b"dave", b"dave123"), hashes)
    assert not await users.admit(Login(b"dave", b"dave124"), hashes)
    assert not await users.admit(Login(b"carol", b"dave123"), hashes)
    assert not await users.admit(Login(b"", b""), hashes)


async def test_a_verdict_holds_for_the_hash_it_was_given_on() -> None:
    users = Users()
    assert await users.admit(Login(b"dave", b"dave123"), {"dave": CHEAP})
    assert not await users.admit(Login(b"dave", b"dave123"), {"dave": DEAR})
    assert not await users.admit(Login(b"dave", b"dave123"), {"carol": CHEAP})


@pytest.mark.parametrize("user", [b"nobody", b"dave"])
async def test_an_unknown_user_costs_what_a_wrong_password_costs(hashed: list[bytes], user: bytes) -> None:
    """One comparison, with a hash of the same cost."""
    assert not await Users().admit(Login(user, b"wrong"), {"dave": DEAR})
    assert [cost_of(each) for each in hashed] == [11]


async def test_where_users_differ_in_cost_an_unknown_one_costs_what_most_do(hashed: list[bytes]) -> None:
    assert not await Users().admit(Login(b"nobody", b"wrong"), {"dave": CHEAP, "eve": DEAR, "carol": LONG})
    assert [cost_of(each) for each in hashed] == [5]


def cost_of(hashed: bytes) -> int:
    """Return the factor that bcrypt's work doubles with."""
    return int(hashed[4:6])


@pytest.mark.parametrize("password", [b"dave123", b"wrong"])
async def test_what_was_asked_once_is_known_without_hashing(hashed: list[bytes], password: bytes) -> None:
    users, hashes = Users(), {"dave": CHEAP}
    verdicts = [await users.admit(Login(b"dave", password), hashes) for _ in range(100)]
    assert len(set(verdicts)) == len(hashed) == 1


async def test_the_same_login_many_times_at_once_is_hashed_once(hashed: list[bytes]) -> None:
    users = Users()
    await asyncio.gather(*(users.admit(Login(b"dave", b"1"), {"dave": CHEAP}) for _ in range(50)))
    assert len(hashed) == 1


async def test_the_loop_goes_on_while_a_password_is_hashed() -> None:
    asked = asyncio.create_task(Users().admit(Login(b"dave", b"wrong"), {"dave": DEAR}))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 10


@pytest.mark.parametrize(
    "guesses",
    [
        [Login(b"eve", b"%d" % guess) for guess in range(20)],
        [Login(b"nobody %d" % guess, b"dave123") for guess in range(20)],
    ],
    ids=["wrong passwords", "unknown names with a right password"],
)
async def test_a_flood_of_guesses_makes_it_forget_no_known_user(
    monkeypatch: pytest.MonkeyPatch, hashed: list[bytes], guesses: list[Login]
) -> None:
    monkeypatch.setattr(module, "MAX_VERDICTS", 4)
    users, hashes = Users(), {"dave": CHEAP, "eve": CHEAP}
    assert await users.admit(Login(b"dave", b"dave123"), hashes)
    assert [await users.admit(guess, hashes) for guess in guesses] == [False] * len(guesses)
    hashed.clear()
    assert await users.admit(Login(b"dave", b"dave123"), hashes)
    assert hashed == []


async def test_a_name_that_was_unknown_is_known_from_then_on_that_it_is_configured() -> None:
    """Though what was remembered of it is of the same hash."""
    users, login = Users(), Login(b"eve", b"dave123")
    assert not await users.admit(login, {"dave": CHEAP})
    assert await users.admit(login, {"dave": CHEAP, "eve": CHEAP})


async def test_a_request_that_is_given_up_does_not_spoil_it_for_others() -> None:
    users, hashes = Users(), {"dave": DEAR}
    first = asyncio.create_task(users.admit(Login(b"dave", b"dave"), hashes))
    second = asyncio.create_task(users.admit(Login(b"dave", b"dave"), hashes))
    await asyncio.sleep(0)
    first.cancel()
    assert await second


async def test_a_password_counts_up_to_72_bytes_as_bcrypt_and_the_toolkit_have_it() -> None:
    assert await Users().admit(Login(b"dave", b"x" * 72 + b"y"), {"dave": LONG})
    assert not await Users().admit(Login(b"dave", b"x" * 71 + b"y"), {"dave": LONG})


def is_accepted(hashed: str) -> bool:
    try:
        web_config_from({"basic_auth_users": {"dave": hashed}})
    except ConfigError:
        return False
    return True


@given(st.builds("${}$04${}".format, st.sampled_from(["2a", "2b", "2x", "2y"]), LETTERS))
def test_what_the_web_configuration_takes_bcrypt_can_work_with(hashed: str) -> None:
    if is_accepted(hashed):
        assert bcrypt.checkpw(b"", hashed.encode()) in (True, False)


@given(st.binary(max_size=72))
def test_what_bcrypt_makes_the_web_configuration_takes(password: bytes) -> None:
    assert is_accepted(bcrypt.hashpw(password, bcrypt.gensalt(4)).decode())


async def test_a_hash_that_bcrypt_cannot_read_is_matched_by_nothing() -> None:
    assert not await Users().admit(Login(b"dave", b"9"), {"dave": Secret(NO_SALT)})
