"""The troubles of another account, each with a cause of its own, told beside the story of the migration."""

from tests.story.alertmanager_receiver import began, ended
from tests.story.servers import until
from tests.story.stage import MAX_SERIES, Stage
from tests.story.time_scale import SLOWDOWN

JOBS = "ListMmsJobs"


def _sources(stage: Stage) -> list[tuple[str, int]]:
    return list(stage.lab.ids.items())


async def sources_in_trouble(stage: Stage) -> None:
    """Tell of a source that does not start, one that does not stop, one not scanned and late, one scanned long ago."""
    lab = stage.lab
    (start, start_id), (stop, stop_id), (late, late_id), (old, old_id) = _sources(stage)
    lab.say(start_id, "status", "START_FAILED")
    lab.say(stop_id, "status", "STOP_FAILED")
    lab.say(late_id, "scanStatus", "FAILED")
    lab.stall(late_id)
    job_id = lab.unfinished_job(late_id)
    lab.say_when(late_id, "eta", 3600, job_id=job_id)
    lab.say_when(old_id, "lastUpdateTime", 7200 * SLOWDOWN)
    of_each = (
        ("MmsSourceStartFailed", start),
        ("MmsSourceStopFailed", stop),
        ("MmsMetadataScanFailed", late),
        ("MmsJobOverdue", late),
        ("MmsMetadataOld", old),
    )
    await stage.receiver.hears("lab", *(began(*each) for each in of_each))
    await stage.alertmanager.until_silenced("MmsSourceStartFailed", "lab", "MmsAgentOffline")
    lab.say(start_id, "status", "STARTED")
    lab.say(stop_id, "status", "STARTED")
    lab.say(late_id, "scanStatus", "DONE")
    lab.say(late_id, "eta", "", job_id=job_id)
    lab.stall(late_id, stalled=False)
    lab.say_when(old_id, "lastUpdateTime", 0)
    await stage.receiver.hears("lab", *(ended(*each) for each in of_each))


async def jobs_in_trouble(stage: Stage) -> None:
    """Let a job fail, and its table with it, and stop others, too many to be shown. It ends with their sources."""
    lab, receiver = stage.lab, stage.receiver
    (failing, failing_id), (full, full_id), *_ = _sources(stage)
    lab.clock.run(0)
    stopped = lab.migrate(full_id, MAX_SERIES)
    lab.migrate(failing_id, 1)
    lab.clock.leap(lab.world.options.async_task_seconds + 1)
    lab.stop_jobs(full_id, stopped)
    lab.clock.run()
    await receiver.hears(
        "lab", began("MmsJobFailed", failing), began("MmsTablesFailed", failing), began("MmsSeriesOmitted", full)
    )
    lab.remove(failing_id)
    lab.remove(full_id)
    await receiver.hears("lab", ended("MmsJobFailed", failing), ended("MmsTablesFailed", failing))
    await stage.alertmanager.until_gone("MmsSeriesOmitted", "lab")


async def job_stopped(stage: Stage) -> None:
    """Stop a job, and leave it so for a day. It ends with its source."""
    lab = stage.lab
    (source, source_id), *_ = _sources(stage)
    lab.clock.run(0)
    stopped = lab.migrate(source_id, 1)
    lab.clock.leap(lab.world.options.async_task_seconds + 1)
    lab.stop_jobs(source_id, stopped)
    lab.clock.run()
    await stage.receiver.hears("lab", began("MmsJobStopped", source))
    lab.remove(source_id)
    await stage.receiver.hears("lab", ended("MmsJobStopped", source))


async def permission_refused(stage: Stage) -> None:
    """Take a permission away: that is told, and not that figures grow old."""
    stage.lab.forbid(JOBS)
    await stage.receiver.hears("lab", began("MmsPermissionRefused"))
    await stage.alertmanager.until_silenced("MmsPermissionRefused", "lab", "MmsSourceStale", "MmsCollectorStale")
    stage.lab.know_key()
    await stage.receiver.hears("lab", ended("MmsPermissionRefused"))


async def source_unreadable(stage: Stage) -> None:
    """Keep the jobs of one source from being read: it is told to be old, and its collector is not beside it."""
    *_, (source, source_id), _ = _sources(stage)
    fault = stage.lab.refuse(JOBS, source_id)
    await stage.receiver.hears("lab", began("MmsSourceStale", source))
    await stage.alertmanager.until_silenced("MmsSourceStale", "lab", "MmsCollectorStale")
    stage.lab.relent(fault)
    await stage.receiver.hears("lab", ended("MmsSourceStale", source))


async def sources_unreadable_in_turn(stage: Stage) -> None:
    """Let one source be read, then the other: none is old, but their collector never succeeds."""
    lab = stage.lab
    *_, (one, one_id), (other, other_id) = _sources(stage)
    while not stage.receiver.was_told("lab"):
        fault = lab.refuse(JOBS, one_id)
        await _until_unread(stage, one)
        # Between two refreshes: within one, the other would be refused as well.
        lab.relent(fault)
        one, one_id, other, other_id = other, other_id, one, one_id
    await stage.receiver.hears("lab", began("MmsCollectorStale"))
    await stage.receiver.hears("lab", ended("MmsCollectorStale"))


async def _until_unread(stage: Stage, source: str) -> None:
    """Wait until one source, and no other, was not read by the last refresh."""

    async def is_unread() -> bool:
        found = await stage.prometheus.at('mms_datasource_refresh_success{account="lab"} == 0')
        return [each["metric"]["source"] for each in found] == [source]

    await until(is_unread, f"only {source} is not read")


async def account_unreadable(stage: Stage) -> None:
    """Keep the whole account from being read: that is told, and nothing that follows from it."""
    fault = stage.lab.refuse("ListMmsDataSources")
    await stage.receiver.hears("lab", began("MmsAccountUnreadable"))
    followers = ("MmsSourceStale", "MmsCollectorStale")
    await stage.alertmanager.until_silenced("MmsAccountUnreadable", "lab", *followers)
    stage.lab.relent(fault)
    await stage.receiver.hears("lab", ended("MmsAccountUnreadable"))


async def troubles(stage: Stage) -> None:
    """Tell all of them, one after the other."""
    for chapter in (
        sources_in_trouble,
        jobs_in_trouble,
        permission_refused,
        source_unreadable,
        sources_unreadable_in_turn,
        account_unreadable,
    ):
        await chapter(stage)
