"""Virtual time: timers fire in order, without waiting, and after all ready work."""

import asyncio
import selectors
import time
from collections.abc import Coroutine

import pytest

from tests.virtual_time import QUIET_SECONDS, Events, VirtualTimeLoop


def run(main: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Provide the timeouts, in seconds, of all calls of `select`."""
    timeouts: list[float | None] = []
    select = selectors.DefaultSelector.select

    def recorded(self: selectors.DefaultSelector, timeout: float | None = None) -> Events:
        timeouts.append(timeout)
        return select(self, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", recorded)
    return timeouts


def test_one_hour_passes_immediately(waits: list[float | None]) -> None:
    async def main() -> None:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        assert asyncio.get_running_loop().time() - began == 3600

    run(main())
    assert [seconds for seconds in waits if seconds != 0] == [QUIET_SECONDS]


def test_blocking_work_takes_no_virtual_time() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.01):
            time.sleep(0.02)  # noqa: ASYNC251 - the machine is busy
            await asyncio.sleep(0)

    run(main())


def test_timers_fire_in_order() -> None:
    order = []

    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    async def main() -> None:
        await asyncio.gather(*map(wait, (30, 0.001, 2)))

    run(main())
    assert order == [0.001, 2, 30]
