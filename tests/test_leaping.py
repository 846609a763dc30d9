"""Time that leaps: what is due comes in its order, at once, and never before what can be done."""

import asyncio
import time
from collections.abc import Coroutine

from tests.leaping import LeapingLoop


def lived(life: Coroutine[None, None, None]) -> float:
    """Return the seconds of the machine that something takes."""
    began = time.monotonic()
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(life)
    return time.monotonic() - began


def test_an_hour_is_over_at_once() -> None:
    async def life() -> None:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        assert asyncio.get_running_loop().time() - began == 3600

    assert lived(life()) < 60


def test_what_takes_long_to_do_is_no_time() -> None:
    async def life() -> None:
        async with asyncio.timeout(0.01):
            time.sleep(0.02)  # noqa: ASYNC251 - the machine is busy
            await asyncio.sleep(0)

    lived(life())


def test_timers_come_in_their_order() -> None:
    order = []

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    async def life() -> None:
        await asyncio.gather(*map(wait, (30, 0.001, 2)))

    lived(life())
    assert order == [0.001, 2, 30]
