"""Compares the overview's stat panels with the counts of the simulator."""

import math
import time
from statistics import mean, median

import pytest

from tests.story.dashboard_queries import figure
from tests.story.servers import Series, until
from tests.story.stage import Stage
from tests.story.time_scale import SLOWDOWN
from tests.story.worlds import Figures

SETTLED_SECONDS = 1.0 * SLOWDOWN
"""Age of the queried moment: Prometheus writes an evaluation after its timestamp, so a later query could differ."""
_AT_PACE = 'mms:source:time_left_at_pace:seconds{account="prod"}'
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
    times = await stage.prometheus.at(_AT_PACE, moment)
    of_sources = [
        {} if source_id in figures.halted else _by_window(times, source_id)
        for source_id, left in figures.left.items()
        if left
    ]
    shown = await figure(stage.prometheus, "Time remaining", moment, account="prod")
    assert _limited(shown) == pytest.approx(_limited(max(map(_expected, of_sources), default=0)))
    worst = max(map(_worst, of_sources), default=0)
    shown = await figure(stage.prometheus, "Expected finish", moment, account="prod")
    assert _limited(shown) == pytest.approx(_limited(1000 * (moment + worst) if worst else 0))
    stage.prod.clock.run()


def _by_window(times: list[Series], source_id: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for each in times:
        if each["metric"]["source_id"] == source_id:
            found.setdefault(each["metric"]["window"], []).append(float(each["value"][1]))
    return found


def _expected(windows: dict[str, list[float]]) -> float:
    pace = median(1 / mean(each) for each in windows.values()) if windows else 0
    return 1 / pace if pace else math.inf


def _worst(windows: dict[str, list[float]]) -> float:
    times = [each for window in windows.values() for each in window]
    ending = [each for each in times if math.isfinite(each)]
    return max(ending) * (1 + 2 / len(times)) if math.isfinite(_expected(windows)) else math.inf


def _limited(shown: float | None) -> float:
    assert shown is not None
    return min(shown, _NO_END)


async def shows_no_data(stage: Stage) -> None:
    """Wait until all sources are stale and figures unknown."""
    await _until_shown(stage, None, stale_sources=len(stage.prod.ids))
