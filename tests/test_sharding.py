"""Shards: exactly one of them, always the same, owns each data source."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.sharding import Shard

ACCOUNTS = st.text(min_size=1, max_size=20)
IDS = st.integers(0, 2**63 - 1)


@given(ACCOUNTS, IDS, st.integers(1, 20))
def test_exactly_one_shard_owns_a_source(account: str, source_id: int, total: int) -> None:
    assert sum(Shard(index, total).owns(account, source_id) for index in range(total)) == 1


@given(ACCOUNTS, IDS, st.integers(1, 20))
def test_an_added_shard_moves_nothing_between_the_others(account: str, source_id: int, total: int) -> None:
    before = [Shard(index, total).owns(account, source_id) for index in range(total)].index(True)
    after = [Shard(index, total + 1).owns(account, source_id) for index in range(total + 1)].index(True)
    assert after in {before, total}


def test_shards_are_balanced_and_stable() -> None:
    shards = [Shard(index, 4) for index in range(4)]
    counts = [sum(shard.owns("prod", source_id) for source_id in range(2_000_000, 2_001_000)) for shard in shards]
    assert counts == [229, 247, 278, 246]
