"""Compares the overview's stat panels with the counts of the simulator."""

import math
import time
from collections.abc import Callable
from statistics import median

import pytest

from tests.story.dashboard_queries import figure
from tests.story.servers import until
from tests.story.stage import Stage
from tests.story.time_scale import SLOWDOWN
from tests.story.worlds import Figures

SETTLED_SECONDS = 1.0 * SLOWDOWN
"""Age of the queried moment: Prometheus writes an evaluation after its timestamp, so a later query could differ."""
_PACES = 'avg without (unit) (1 / mms:source:time_left_at_pace:seconds{account="prod"})'
"""Of each window and source."""
_NO_END = 1e13
"""At least this long stands for a time without an end."""

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
    """Return the number of firing alerts that the overview shows."""
    return sum(each["labels"].get("account", "prod") == "prod" for each in await stage.alertmanager.alerts())


async def _until_shown(stage: Stage, figures: Figures | None, stale_sources: int) -> float:
    """Wait until the overview shows these figures; return the time."""
    moment, shown, expected = 0.0, Shown(), Shown()

    async def is_shown() -> bool:
        nonlocal moment, shown, expected
        expected = _of_the_world(figures) | {"Stale sources": stale_sources, "Alerts": await _firing(stage)}
        moment = time.time() - SETTLED_SECONDS
        shown = {title: await figure(stage.prometheus, title, moment, account="prod") for title in expected}
        return shown == pytest.approx(expected)

    try:
        await until(is_shown, "the overview agrees")
    except AssertionError as error:
        raise AssertionError(f"{error}: {shown} is shown, and {expected} is so") from None
    return moment


async def shows_ground_truth(stage: Stage) -> None:
    """Pause the world, and wait until all figures are right."""
    stage.prod.clock.run(0)
    figures = stage.prod.figures()
    moment = await _until_shown(stage, figures, stale_sources=0)
    paces: dict[str, list[float]] = {source_id: [] for source_id, left in figures.left.items() if left}
    for each in await stage.prometheus.at(_PACES, moment):
        if (source_id := each["metric"]["source_id"]) in paces.keys() - figures.halted:
            paces[source_id].append(float(each["value"][1]))
    shown = await figure(stage.prometheus, "Time remaining", moment, account="prod")
    assert _limited(shown) == pytest.approx(_limited(_seconds_left(paces, median)))
    worst = 1.5 * _seconds_left(paces, min)
    shown = await figure(stage.prometheus, "Expected finish", moment, account="prod")
    assert _limited(shown) == pytest.approx(_limited(1000 * (moment + worst) if worst else 0))
    stage.prod.clock.run()


def _seconds_left(paces: dict[str, list[float]], chosen: Callable[[list[float]], float]) -> float:
    """Return the time left of the slowest source."""
    found = [chosen(each) if each else 0 for each in paces.values()]
    return max((1 / pace if pace else math.inf for pace in found), default=0)


def _limited(shown: float | None) -> float:
    assert shown is not None
    return min(shown, _NO_END)


async def shows_no_data(stage: Stage) -> None:
    """Wait until all sources are stale and figures unknown."""
    await _until_shown(stage, None, stale_sources=len(stage.prod.ids))
