"""The alerts of the demo's story by the shipped rules, in virtual time: each has its cause, and ends with it."""

from pathlib import Path

import pytest

from exporter.simulator import ManualClock, Simulator, StoryWorld
from tests.conftest import IDENTITY, config_on
from tests.harness import harness_on
from tests.story.week import WeekSamples
from tests.story.week_alerts import RoutedAlerts, firing_alerts

STEP_SECONDS = 30
STEPS = 2 * 48 + 1
LEFTOVER, AGENT, STALLED, BURST = "hive-sales-001", "bigquery-sales-002", "maxcompute-sales-003", "hive-finance-004"
EXPECTED = {
    ("MmsFailureBurst", BURST): ((4, 7), (17, 20)),
    ("MmsJobFailed", BURST): ((6, 8), (8.5, 10)),
    ("MmsJobFailed", LEFTOVER): ((6, 8), (35, 38)),
    ("MmsAgentOffline", AGENT): ((9, 10), (10.5, 11.5)),
    ("MmsTablesFailed", LEFTOVER): ((33, 38), None),
    ("MmsVerificationFailed", BURST): ((5, 7), (18, 20)),
    ("MmsVerificationFailed", LEFTOVER): ((5, 8), (45, 48)),
    **{("MmsMigrationFinished", each): ((24, 26), None) for each in (LEFTOVER, AGENT, STALLED, BURST)},
}
"""The minutes between which each alert begins and ends, if nobody retries; None: it lasts until minute 48."""
HANDFUL = 5
"""After the story: 3 migrations that have finished, and of the fourth a mismatch, and that its job failed."""


async def _recorded() -> WeekSamples:
    clock = ManualClock()
    recording = WeekSamples(clock())
    async with (
        Simulator(StoryWorld(clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, jobs={"linger": "2m", "idle_interval": "1m"}), clock) as harness,
    ):
        harness.telemetry.note_load(clock(), is_current=True)
        for step in range(STEPS):
            recording.add(step, await harness.refresh())
            clock.advance(STEP_SECONDS)
    return recording


@pytest.mark.long
async def test_the_alerts_of_the_story_are_few_and_each_ends_with_its_cause(tmp_path: Path) -> None:
    firing = firing_alerts(await _recorded(), tmp_path, "PROMTOOL", steps=STEPS, step_seconds=STEP_SECONDS)
    steps = [{(dict(alert)["alertname"], dict(alert).get("source", "")) for alert in step} for step in firing]
    assert set().union(*steps) == set(EXPECTED)
    for alert, (begin, end) in EXPECTED.items():
        seen = [step * STEP_SECONDS / 60 for step, alerts in enumerate(steps) if alert in alerts]
        assert begin[0] <= seen[0] <= begin[1], alert
        assert len(seen) == 1 + (seen[-1] - seen[0]) * 60 / STEP_SECONDS, f"{alert} fires once"
        assert seen[-1] == 48 if end is None else end[0] <= seen[-1] <= end[1], alert
    shown = [len(RoutedAlerts().active(alerts)) for alerts in firing]
    assert max(shown[: 2 * 20]) <= 4, "during the story"
    assert max(shown) <= HANDFUL
