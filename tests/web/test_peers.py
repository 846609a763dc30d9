"""Which addresses one client can have."""

import pytest

from exporter.web.peers import peer_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
        ("no address", "no address"),
    ],
)
def test_these_are_one(one: str, other: str) -> None:
    assert peer_of(one) == peer_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("2001:db8:0:1::1", "2001:db8:0:2::1"),
        ("192.0.2.1", "2001:db8::1"),
    ],
)
def test_these_are_two(one: str, other: str) -> None:
    assert peer_of(one) != peer_of(other)
