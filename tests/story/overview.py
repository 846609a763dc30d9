"""The overview's row of figures, held to what the simulator counts in its world."""

import math
import time

import pytest

from tests.story.dashboard_queries import figure
from tests.story.servers import until
from tests.story.stage import Stage
from tests.story.worlds import Figures

_PACE = 'sum(mms:source:overall_done_per_hour:deriv1h{account="prod"})'

Shown = dict[str, float | None]


def _of_the_world(figures: Figures | None) -> Shown:
    if figures is None:
        return dict.fromkeys(("Progress", "Failed tables", "Failed partitions", "Agents offline"))
    return {
        "Progress": figures.done / figures.total,
        "Failed tables": figures.failed_tables,
        "Failed partitions": figures.failed_partitions,
        "Agents offline": figures.agents_offline,
    }


async def _firing(stage: Stage) -> int:
    """Return how many alerts Alertmanager has that the overview shows for the account: its own, and those of none."""
    return sum(each["labels"].get("account", "prod") == "prod" for each in await stage.alertmanager.alerts())


async def _until_shown(stage: Stage, figures: Figures | None, stale_sources: int) -> float:
    """Wait until the overview shows these figures, or that there are none, and return the moment at which it does."""
    moment, shown, expected = 0.0, Shown(), Shown()

    async def is_shown() -> bool:
        nonlocal moment, shown, expected
        expected = _of_the_world(figures) | {"Stale sources": stale_sources, "Firing alerts": await _firing(stage)}
        moment = time.time()
        shown = {title: await figure(stage.prometheus, title, moment, account="prod") for title in expected}
        return shown == pytest.approx(expected)

    try:
        await until(is_shown, "the overview agrees")
    except AssertionError as error:
        raise AssertionError(f"{error}: {shown} is shown, and {expected} is so") from None
    return moment


async def shows_what_is(stage: Stage) -> None:
    """Wait until every figure is what the world holds, which stands still meanwhile."""
    stage.prod.clock.run(0)
    figures = stage.prod.figures()
    moment = await _until_shown(stage, figures, stale_sources=0)
    (pace,) = await stage.prometheus.at(_PACE, moment)
    left = _seconds_left(figures.left, float(pace["value"][1]))
    assert await figure(stage.prometheus, "Time remaining", moment, account="prod") == pytest.approx(left)
    done_at = 1000 * (moment + left) if left else 0
    assert await figure(stage.prometheus, "Expected finish", moment, account="prod") == pytest.approx(done_at)
    stage.prod.clock.run()


def _seconds_left(left: int, an_hour: float) -> float:
    if not left:
        return 0
    return 3600 * left / an_hour if an_hour else math.inf


async def shows_that_nothing_is_known(stage: Stage) -> None:
    """Wait until every source is stale, and figures are unknown rather than old or 0."""
    await _until_shown(stage, None, stale_sources=len(stage.prod.ids))
