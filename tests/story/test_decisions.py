"""States that somebody chose, retried jobs and dates, under a real Prometheus and Alertmanager: no false alarm.

Long tests of single causes beside the story; the marker keeps them out of the suite.
"""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from exporter.simulator import apply_event, events
from tests.story.alertmanager_receiver import firing, resolved
from tests.story.migration import BIGQUERY, HIVE
from tests.story.servers import until
from tests.story.stage import Stage, staged
from tests.story.time_scale import SLOWDOWN

pytestmark = [pytest.mark.long, pytest.mark.scale, pytest.mark.timeout(600 * SLOWDOWN)]
ZONE = ZoneInfo("Asia/Shanghai")


async def until_served(stage: Stage, query: str) -> None:
    """Wait until a query has a result."""

    async def is_served() -> bool:
        return bool(await stage.prometheus.at(query))

    await until(is_served, query)


async def source_stopped(stage: Stage) -> None:
    """Stop a source with its agent, as the MMS console does: info, and nothing about its agent."""
    prod, source_id = stage.prod, stage.prod.ids[HIVE]
    prod.set_text(source_id, "status", "STOPPED")
    prod.set_agent(source_id, online=False)
    await stage.receiver.expect("prod", firing("MmsSourceStopped", HIVE))
    prod.set_text(source_id, "status", "STARTED")
    prod.set_agent(source_id, online=True)
    await stage.alertmanager.until_gone("MmsSourceStopped", "prod")


async def due_today(stage: Stage) -> None:
    """Set a bare date: of today, which is not late; then of yesterday, which is."""
    prod, source_id = stage.prod, stage.prod.ids[BIGQUERY]
    prod.stall(source_id)
    job_id, today = prod.unfinished_job(source_id), datetime.now(ZONE)
    prod.set_text(source_id, "eta", f"{today:%Y-%m-%d}", job_id=job_id)
    await until_served(stage, f'mms_job_eta_timestamp_seconds{{source="{BIGQUERY}"}} > time()')
    assert await stage.prometheus.at('ALERTS{alertname="MmsJobOverdue"}') == []
    prod.set_text(source_id, "eta", f"{today - timedelta(days=1):%Y-%m-%d}", job_id=job_id)
    await stage.receiver.expect("prod", firing("MmsJobOverdue", BIGQUERY))
    prod.set_text(source_id, "eta", "", job_id=job_id)
    prod.stall(source_id, stalled=False)
    await stage.receiver.expect("prod", resolved("MmsJobOverdue", BIGQUERY))


async def jobs_retried(stage: Stage) -> None:
    """Fail a job, then migrate its table again: the alert ends, although the job stays FAILED in MMS."""
    lab = stage.lab
    source, source_id = next(iter(lab.ids.items()))
    lab.migrate(source_id, 1)
    await stage.receiver.expect("lab", firing("MmsJobFailed", source))
    tables = tuple(table.id for table in lab.world.truth().tables(source_id) if table.status == "FAILED")
    apply_event(lab.world, events.Succeed(source_id=source_id, table_ids=tables))
    await stage.receiver.expect("lab", resolved("MmsJobFailed", source))
    await until_served(stage, f'mms_jobs{{account="lab", source="{source}", status="FAILED"}} == 1')


@pytest.mark.parametrize("server", ["PROMETHEUS", "PROMETHEUS3"])
async def test_decisions_dates_and_retried_jobs_alert_as_documented(tmp_path: Path, server: str) -> None:
    async with staged(tmp_path, server=server) as stage:
        async with asyncio.TaskGroup() as group:
            group.create_task(jobs_retried(stage))
            await source_stopped(stage)
            await due_today(stage)
        assert stage.receiver.unread() == {}
        assert stage.prometheus.logged_problems() == []
