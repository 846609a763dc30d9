"""The first error of concurrent calls ends all of them, before what they use is closed."""

import asyncio

import pytest

from exporter.runtime import gather_or_cancel


async def test_the_first_error_cancels_and_awaits_the_other_calls() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("endless")

    async def failing() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await gather_or_cancel([endless(), failing(), endless()])
    assert ended == ["endless", "endless"]


async def test_results_are_in_the_order_of_the_calls() -> None:
    async def late(rounds: int) -> int:
        for _ in range(rounds):
            await asyncio.sleep(0)
        return rounds

    assert await gather_or_cancel(map(late, (3, 1, 2))) == [3, 1, 2]
