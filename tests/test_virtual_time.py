"""Time that leaps: what is due comes in its order, at once, and never before what can be done."""

import asyncio
import selectors
import time
from collections.abc import Coroutine

import pytest

from tests.virtual_time import QUIET_SECONDS, Events, VirtualTimeLoop


def live(life: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(life)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Provide how long the machine was asked to wait, in seconds, each time."""
    asked: list[float | None] = []
    select = selectors.DefaultSelector.select

    def noted(self: selectors.DefaultSelector, timeout: float | None = None) -> Events:
        asked.append(timeout)
        return select(self, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", noted)
    return asked


def test_an_hour_is_over_at_once(waits: list[float | None]) -> None:
    async def life() -> None:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        assert asyncio.get_running_loop().time() - began == 3600

    live(life())
    assert [seconds for seconds in waits if seconds != 0] == [QUIET_SECONDS]


def test_what_takes_long_to_do_is_no_time() -> None:
    async def life() -> None:
        async with asyncio.timeout(0.01):
            time.sleep(0.02)  # noqa: ASYNC251 - the machine is busy
            await asyncio.sleep(0)

    live(life())


def test_timers_come_in_their_order() -> None:
    order = []

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    async def life() -> None:
        await asyncio.gather(*map(wait, (30, 0.001, 2)))

    live(life())
    assert order == [0.001, 2, 30]
