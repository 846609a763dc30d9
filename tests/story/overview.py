"""Compares the overview's stat panels with the counts of the simulator."""

import math
import time

import pytest

from tests.story.dashboard_queries import figure
from tests.story.servers import until
from tests.story.stage import Stage
from tests.story.time_scale import SLOWDOWN
from tests.story.worlds import Figures

SETTLED_SECONDS = 1.0 * SLOWDOWN
"""Age of the queried moment: Prometheus writes an evaluation after its timestamp, so a later query could differ."""
_PACE = """
    mms:source:overall_done_per_hour:deriv1h{account="prod"}
    - mms:source:overall_new_per_hour:increase6h{account="prod"}
"""
"""Without new work, per source."""

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
    found = await stage.prometheus.at(_PACE, moment)
    paces = {each["metric"]["source_id"]: float(each["value"][1]) for each in found}
    paces |= dict.fromkeys(figures.halted, 0.0)
    left = max(_seconds_left(count, paces[source_id]) for source_id, count in figures.left.items())
    assert await figure(stage.prometheus, "Time remaining", moment, account="prod") == pytest.approx(left)
    done_at = 1000 * (moment + left) if left else 0
    assert await figure(stage.prometheus, "Expected finish", moment, account="prod") == pytest.approx(done_at)
    stage.prod.clock.run()


def _seconds_left(left: int, an_hour: float) -> float:
    if not left:
        return 0
    return 3600 * left / an_hour if an_hour > 0 else math.inf


async def shows_no_data(stage: Stage) -> None:
    """Wait until all sources are stale and figures unknown."""
    await _until_shown(stage, None, stale_sources=len(stage.prod.ids))
