"""Whose turn it is, of those who wait."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.web.fair_queue import FairQueue, Share

SHARES = st.builds(Share, st.sampled_from("abc"), st.sampled_from([b"x", b"y"]))
Item = tuple[Share, int]


def queue_of(*shares: Share) -> FairQueue[Item]:
    queue: FairQueue[Item] = FairQueue()
    for number, share in enumerate(shares):
        queue.add(share, (share, number))
    return queue


def in_turn(queue: FairQueue[Item]) -> list[Item]:
    return [queue.pop_next() for _ in range(len(queue))]


def test_peers_take_turns_and_so_do_the_names_of_one() -> None:
    busy, other_name, other_peer = Share("a", b"x"), Share("a", b"y"), Share("b", b"x")
    queue = queue_of(busy, busy, busy, other_name, other_peer)
    assert [number for _, number in in_turn(queue)] == [0, 4, 3, 1, 2]


def test_who_comes_anew_waits_behind_all_who_wait() -> None:
    often, other = Share("a", b"x"), Share("b", b"x")
    queue = queue_of(often, other, other)
    assert queue.pop_next() == (often, 0)
    queue.add(often, (often, 3))
    assert queue.pop_next() == (other, 1)


def test_the_newest_of_who_has_most_is_in_the_way() -> None:
    busy, other_name, other_peer = Share("a", b"x"), Share("a", b"y"), Share("b", b"x")
    queue = queue_of(busy, busy, other_name, other_peer, other_peer)
    assert queue.pop_most_crowding() == (busy, 1)
    assert queue.pop_most_crowding() == (other_peer, 4)


def test_where_each_has_one_the_newest_is_in_the_way() -> None:
    shares = [Share(peer, b"x") for peer in "abc"]
    assert queue_of(*shares).pop_most_crowding() == (shares[-1], 2)


@given(st.lists(SHARES, max_size=20))
def test_each_item_has_its_turn_once_and_those_of_a_share_in_their_order(shares: list[Share]) -> None:
    items = in_turn(queue_of(*shares))
    assert sorted(number for _, number in items) == list(range(len(shares)))
    for share in set(shares):
        numbers = [number for each, number in items if each == share]
        assert numbers == sorted(numbers)


@given(st.lists(SHARES, min_size=1, max_size=20))
def test_a_share_of_which_one_waits_has_its_turn_within_as_many_as_peers_and_names_of_its_own(
    shares: list[Share],
) -> None:
    queue = queue_of(*shares)
    last = (Share("new", b"x"), -1)
    queue.add(last[0], last)
    assert in_turn(queue).index(last) == len({share.peer for share in shares})


@given(st.lists(SHARES, min_size=1, max_size=20), st.data())
def test_what_is_removed_has_no_turn(shares: list[Share], data: st.DataObject) -> None:
    queue = queue_of(*shares)
    gone = data.draw(st.integers(0, len(shares) - 1))
    queue.remove(shares[gone], (shares[gone], gone))
    assert gone not in [number for _, number in in_turn(queue)]
    assert len(queue) == 0
