"""When failures need not be listed again."""

import pytest

from exporter.collect.snapshot import FailedUnits
from exporter.collect.state.failure_state import MAX_LIST_AGE_SECONDS, KindState

READ_AT = 100.0


@pytest.mark.parametrize(
    ("known", "count", "now", "is_unchanged"),
    [
        (5, 5, READ_AT + 1, True),
        (5, 6, READ_AT + 1, False),
        (5, 5, READ_AT + MAX_LIST_AGE_SECONDS, False),
        (None, None, READ_AT + 1, False),
    ],
    ids=["same count", "changed count", "old list", "absent count"],
)
def test_only_a_present_equal_count_confirms_failures(
    known: int | None,
    count: int | None,
    now: float,
    is_unchanged: bool,  # noqa: FBT001 - the expectation
) -> None:
    state = KindState(FailedUnits((), 5), known, READ_AT, is_stable=True, listed_at=READ_AT)
    assert state.is_unchanged(count, now) == is_unchanged
