"""Problems of another account, each with its own cause, next to the migration."""

from tests.story.alertmanager_receiver import firing, resolved
from tests.story.servers import until
from tests.story.stage import MAX_SERIES, Stage
from tests.story.time_scale import SLOWDOWN

JOBS = "ListMmsJobs"
_SCAN_SECONDS = 600
"""Some scrapes long; dashboards show its progress."""


def _sources(stage: Stage) -> list[tuple[str, int]]:
    return list(stage.lab.ids.items())


async def sources_in_trouble(stage: Stage) -> None:
    """Expect alerts for failed starts and stops and overdue scans."""
    lab = stage.lab
    (start, start_id), (stop, stop_id), (late, late_id), (old, old_id) = _sources(stage)
    lab.set_text(start_id, "status", "START_FAILED")
    lab.set_text(stop_id, "status", "STOP_FAILED")
    lab.set_text(late_id, "scanStatus", "FAILED")
    lab.scan(stop_id, _SCAN_SECONDS)
    lab.stall(late_id)
    job_id = lab.unfinished_job(late_id)
    lab.set_time(late_id, "eta", 3600, job_id=job_id)
    lab.set_time(old_id, "lastUpdateTime", 7200 * SLOWDOWN)
    of_each = (
        ("MmsSourceStartFailed", start),
        ("MmsSourceStopFailed", stop),
        ("MmsMetadataScanFailed", late),
        ("MmsJobOverdue", late),
        ("MmsMetadataOld", old),
    )
    await stage.receiver.expect("lab", *(firing(*each) for each in of_each))
    await stage.alertmanager.until_silenced("MmsSourceStartFailed", "lab", "MmsAgentOffline")
    lab.set_text(start_id, "status", "STARTED")
    lab.set_text(stop_id, "status", "STARTED")
    lab.set_text(late_id, "scanStatus", "DONE")
    lab.set_text(late_id, "eta", "", job_id=job_id)
    lab.stall(late_id, stalled=False)
    lab.set_time(old_id, "lastUpdateTime", 0)
    await stage.receiver.expect("lab", *(resolved(*each) for each in of_each))


async def jobs_in_trouble(stage: Stage) -> None:
    """Fail one job with its table, stop many jobs of another source, and stop a third one."""
    lab, receiver = stage.lab, stage.receiver
    (failing, failing_id), (full, full_id), (stopped_source, stopped_id), _ = _sources(stage)
    lab.set_text(stopped_id, "status", "STOPPED")
    lab.set_agent(stopped_id, online=False)
    lab.clock.run(0)
    stopped = lab.migrate(full_id, MAX_SERIES)
    lab.migrate(failing_id, 1)
    lab.clock.leap(lab.world.options.async_task_seconds + 1)
    lab.stop_jobs(full_id, stopped)
    lab.clock.run()
    await receiver.expect(
        "lab",
        *(firing("MmsJobFailed", failing), resolved("MmsJobFailed", failing), firing("MmsTablesFailed", failing)),
        *(firing("MmsSeriesOmitted", full), firing("MmsSourceStopped", stopped_source)),
    )
    lab.set_text(stopped_id, "status", "STARTED")
    lab.set_agent(stopped_id, online=True)
    lab.remove(failing_id)
    lab.remove(full_id)
    await receiver.expect("lab", resolved("MmsTablesFailed", failing))
    await stage.alertmanager.until_gone("MmsSeriesOmitted", "lab")
    await stage.alertmanager.until_gone("MmsSourceStopped", "lab")


async def job_stopped(stage: Stage) -> None:
    """Stop a job for a day, then remove its source."""
    lab = stage.lab
    (source, source_id), *_ = _sources(stage)
    lab.clock.run(0)
    stopped = lab.migrate(source_id, 1)
    lab.clock.leap(lab.world.options.async_task_seconds + 1)
    lab.stop_jobs(source_id, stopped)
    lab.clock.run()
    await stage.receiver.expect("lab", firing("MmsJobStopped", source))
    lab.remove(source_id)
    await stage.alertmanager.until_gone("MmsJobStopped", "lab")


async def permission_refused(stage: Stage) -> None:
    """Revoke a permission: its alert fires, staleness alerts do not."""
    stage.lab.revoke(JOBS)
    await stage.receiver.expect("lab", firing("MmsPermissionRefused"))
    await stage.alertmanager.until_silenced("MmsPermissionRefused", "lab", "MmsSourceStale", "MmsCollectorStale")
    stage.lab.restore_key()
    await stage.receiver.expect("lab", resolved("MmsPermissionRefused"))


async def source_unreadable(stage: Stage) -> None:
    """Fail the job lists of one source, which becomes stale."""
    *_, (source, source_id), _ = _sources(stage)
    fault = stage.lab.refuse(JOBS, source_id)
    await stage.receiver.expect("lab", firing("MmsSourceStale", source))
    await stage.alertmanager.until_silenced("MmsSourceStale", "lab", "MmsCollectorStale")
    stage.lab.remove_fault(fault)
    await stage.receiver.expect("lab", resolved("MmsSourceStale", source))


async def sources_unreadable_in_turn(stage: Stage) -> None:
    """Fail sources in turn, so that none is stale."""
    lab = stage.lab
    *_, (one, one_id), (other, other_id) = _sources(stage)
    while not stage.receiver.has_unread("lab"):
        fault = lab.refuse(JOBS, one_id)
        await _until_unread(stage, one)
        # Between refreshes; within one, the other source would fail as well.
        lab.remove_fault(fault)
        one, one_id, other, other_id = other, other_id, one, one_id
    await stage.receiver.expect("lab", firing("MmsCollectorStale"))
    await stage.receiver.expect("lab", resolved("MmsCollectorStale"))


async def _until_unread(stage: Stage, source: str) -> None:
    """Wait until the last refresh failed for this source only."""

    async def is_unread() -> bool:
        found = await stage.prometheus.at('mms_datasource_refresh_success{account="lab"} == 0')
        return [each["metric"]["source"] for each in found] == [source]

    await until(is_unread, f"only {source} is not read")


async def account_unreadable(stage: Stage) -> None:
    """Fail the whole account: its alert fires, consequences do not."""
    fault = stage.lab.refuse("ListMmsDataSources")
    await stage.receiver.expect("lab", firing("MmsAccountUnreadable"))
    followers = ("MmsSourceStale", "MmsCollectorStale")
    await stage.alertmanager.until_silenced("MmsAccountUnreadable", "lab", *followers)
    stage.lab.remove_fault(fault)
    await stage.receiver.expect("lab", resolved("MmsAccountUnreadable"))


async def troubles(stage: Stage) -> None:
    """Run all of them in sequence."""
    for chapter in (
        sources_in_trouble,
        jobs_in_trouble,
        permission_refused,
        source_unreadable,
        sources_unreadable_in_turn,
        account_unreadable,
    ):
        await chapter(stage)
