"""A token bucket, by its own time."""

from exporter.web.token_bucket import TokenBucket


def test_a_burst_is_let_through_and_then_one_an_interval() -> None:
    bucket = TokenBucket(interval_seconds=2.0, burst=3, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(now) for now in (1.9, 2.0, 2.1, 4.0)] == [False, True, False, True]


def test_it_holds_no_more_than_a_burst() -> None:
    bucket = TokenBucket(interval_seconds=1.0, burst=2, now=0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


def test_a_burst_of_nothing_lets_nothing_through() -> None:
    assert not TokenBucket(interval_seconds=1.0, burst=0, now=0.0).take(1000.0)
