"""A real Prometheus and Alertmanager watch a migration, accelerated so that one hour takes 30 seconds.

One long test, because the final checks need a Prometheus with the whole history; and a short one for the alert that
lasts a day.
"""

import asyncio
import time
from pathlib import Path

import pytest

from tests.grafana.checked_in import NAMES
from tests.rules.loading import ALERTS, RECORDS
from tests.story import dashboard_queries, migration
from tests.story.stage import Stage, staged
from tests.story.time_scale import SLOWDOWN
from tests.story.troubles import job_stopped, troubles

TOO_LONG = {"MmsJobStopped"}
"""A day is too long even at this speed; it has a test of its own."""
OF_TASKS = {"MmsFailureReasonDominates", "MmsVerificationFailed"}
"""Their failures are in test_reasons."""
OF_TIMERS = {"MmsScheduleMissed", "MmsScheduledRunFailed"}
"""Timers are due once per hour; their alerts are in test_timer_alerts."""
TABLE_OF_TIMERS = {f"datasource: Timers {ref}" for ref in "ABCDEF"}
"""Its values are in tests/grafana/test_shown_values.py."""
OF_REPLICAS = {"MmsReplicaAbsent"}
BEHIND = "mms:replica:behind:info"
"""Both need a second exporter, as in test_replicas."""
DAY_FACTOR = 90
"""In that test, a day is 8 s."""


@pytest.mark.long
@pytest.mark.timeout(600 * SLOWDOWN)
@pytest.mark.parametrize("server", ["PROMETHEUS", pytest.param("PROMETHEUS3", marks=pytest.mark.scale)])
async def test_a_migration_sends_the_expected_notifications(tmp_path: Path, server: str) -> None:
    async with staged(tmp_path, server=server) as stage:
        await _tell(stage)
        assert stage.receiver.unread() == {}
        assert stage.receiver.alerts() == ALERTS.keys() - TOO_LONG - OF_TASKS - OF_TIMERS - OF_REPLICAS
        await _rules_worked(stage)
        await _dashboards_had_data(stage)
        assert stage.prometheus.logged_problems() == []
        assert stage.alertmanager.logged_problems() == []


@pytest.mark.long
@pytest.mark.timeout(600 * SLOWDOWN)
@pytest.mark.scale
@pytest.mark.parametrize("hides_stopped", [False, True], ids=["listed", "hidden"])
async def test_a_job_stopped_for_a_day_sends_a_notification(tmp_path: Path, hides_stopped: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    async with staged(tmp_path, day_factor=DAY_FACTOR, hides_stopped=hides_stopped) as stage:
        await job_stopped(stage)
        assert stage.receiver.alerts() == TOO_LONG


async def _tell(stage: Stage) -> None:
    await migration.healthy(stage)
    async with asyncio.TaskGroup() as group:
        group.create_task(troubles(stage))
        await migration.agent_out(stage)
        await migration.burst_of_failures(stage)
        group.create_task(migration.configuration_refused(stage))
        await migration.stall(stage)
        await migration.throttling(stage)
        await migration.credentials_refused(stage)
    await migration.exporter_gone(stage)
    await migration.end(stage)


async def _rules_worked(stage: Stage) -> None:
    """Check that every rule evaluated, and every record of one exporter has values."""
    assert [(rule["name"], rule["health"]) for rule in await stage.prometheus.rules() if rule["health"] != "ok"] == []
    now = time.time()
    found = {
        record: await stage.prometheus.over(record, stage.start, now, dashboard_queries.STEP)
        for record in RECORDS.keys() - {BEHIND}
    }
    assert [record for record, series in found.items() if not dashboard_queries.has_figures(series)] == []


async def _dashboards_had_data(stage: Stage) -> None:
    """Check that every dashboard query and variable had values, except those that say that there are none."""
    now, empty = time.time(), []
    for name in NAMES:
        for asked in dashboard_queries.queries_over_time(name):
            query = dashboard_queries.filled_in(asked.expr, now - stage.start)
            found = await stage.prometheus.over(query, stage.start, now, dashboard_queries.STEP)
            if (
                not dashboard_queries.has_figures(found)
                and not asked.says_nothing
                and asked.where not in TABLE_OF_TIMERS
            ):
                empty.append(asked)
        for selector, label in dashboard_queries.variables(name):
            assert await stage.prometheus.label_values(
                label, dashboard_queries.filled_in(selector), stage.start, now
            ), (
                name,
                label,
            )
    assert [asked.where for asked in empty] == []
