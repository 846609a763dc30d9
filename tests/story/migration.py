"""The story of one migration: what happens in MMS, and which notifications follow.

Each step expects exactly the notifications of its cause; `AlertmanagerReceiver.expect` fails on any other.
"""

from tests.story import overview
from tests.story.alertmanager_receiver import firing, resolved
from tests.story.servers import until
from tests.story.stage import Stage

HIVE, BIGQUERY = "hive-sales-001", "bigquery-sales-002"
BURST_TABLES = 14
"""Enough failures, with their partitions, to exceed the number at which MMS advises to stop."""
THROTTLED_SHARE = 0.3


async def healthy(stage: Stage) -> None:
    """Wait until all sources progress and no alert is pending."""

    async def is_known() -> bool:
        pace = await stage.prometheus.at('mms:source:done_per_hour:deriv1h{account="prod", kind="partition"} > 0')
        return {each["metric"]["source"] for each in pace} >= {HIVE, BIGQUERY}

    await until(is_known, "both sources move")
    assert await stage.prometheus.at("ALERTS") == []


async def agent_out(stage: Stage) -> None:
    """Take an agent offline, and stall another source."""
    prod, receiver = stage.prod, stage.receiver

    async def is_stalled_while_doing() -> bool:
        # Without the pause the last partition could be completed between the check and the stall.
        prod.clock.run(0)
        if is_doing := prod.is_doing(prod.ids[BIGQUERY]):
            prod.stall(prod.ids[BIGQUERY])
        prod.clock.run()
        return is_doing

    await until(is_stalled_while_doing, "partitions are being migrated")
    prod.set_agent(prod.ids[HIVE], online=False)
    await receiver.expect("prod", firing("MmsAgentOffline", HIVE))
    prod.set_agent(prod.ids[HIVE], online=True)
    await receiver.expect("prod", resolved("MmsAgentOffline", HIVE))


async def burst_of_failures(stage: Stage) -> None:
    """Fail many tables at once; once no more fail, retry them successfully."""
    prod, receiver = stage.prod, stage.receiver
    assert prod.fail_tables(prod.ids[HIVE], BURST_TABLES) > 100
    await receiver.expect("prod", firing("MmsFailureBurst", HIVE))
    await stage.alertmanager.until_silenced("MmsFailureBurst", "prod", "MmsTablesFailed")
    await receiver.expect("prod", resolved("MmsFailureBurst", HIVE), firing("MmsTablesFailed", HIVE))
    await overview.shows_ground_truth(stage)
    prod.retry(prod.ids[HIVE])
    await receiver.expect("prod", resolved("MmsTablesFailed", HIVE))


async def stall(stage: Stage) -> None:
    """Wait until the stalled source is reported, then let it continue."""
    prod, receiver = stage.prod, stage.receiver
    await receiver.expect("prod", firing("MmsMigrationStalled", BIGQUERY))
    prod.stall(prod.ids[BIGQUERY], stalled=False)
    await receiver.expect("prod", resolved("MmsMigrationStalled", BIGQUERY))


async def throttling(stage: Stage) -> None:
    """Throttle a share of the requests that list no data sources.

    The waits of retries are not accelerated, so one failed list of data sources would make the account unreadable.
    """
    operations = ("ListMmsJobs", "ListMmsTasks", "ListMmsTables", "ListMmsPartitions")
    faults = [stage.prod.throttle(THROTTLED_SHARE, operation) for operation in operations]
    # On a slow machine the waits can outdate a data source before MmsThrottled fires and inhibits that.
    may = {"MmsSourceStale"}
    await stage.receiver.expect("prod", firing("MmsThrottled"), may=may)
    for fault in faults:
        stage.prod.remove_fault(fault)
    await stage.receiver.expect("prod", resolved("MmsThrottled"), may=may)


async def credentials_refused(stage: Stage) -> None:
    """Remove the access key: one notification, without its consequences."""
    stage.prod.remove_key()
    await stage.receiver.expect("prod", firing("MmsCredentialsRefused"))
    followers = ("MmsAccountUnreadable", "MmsSourceStale", "MmsCollectorStale")
    await stage.alertmanager.until_silenced("MmsCredentialsRefused", "prod", *followers)
    await overview.shows_no_data(stage)
    stage.prod.restore_key()
    await stage.receiver.expect("prod", resolved("MmsCredentialsRefused"))


async def exporter_gone(stage: Stage) -> None:
    """Kill the exporter and start it again."""
    await stage.exporter.kill()
    await stage.receiver.expect("", firing("MmsExporterAbsent"))
    await stage.exporter.start()
    await stage.receiver.expect("", resolved("MmsExporterAbsent"))


async def configuration_refused(stage: Stage) -> None:
    """Reload an invalid configuration, then a valid one."""
    good = stage.exporter.file.read_text()
    stage.exporter.file.write_text(good + "nonsense: true\n")
    assert await stage.exporter.reload(stage.session) == 400
    await stage.receiver.expect("", firing("MmsConfigReloadFailed"))
    stage.exporter.file.write_text(good)
    assert await stage.exporter.reload(stage.session) == 200
    await stage.receiver.expect("", resolved("MmsConfigReloadFailed"))


async def end(stage: Stage) -> None:
    """Complete the migration."""
    stage.prod.clock.leap(86400)
    await stage.receiver.expect("prod", *(firing("MmsMigrationFinished", source) for source in (HIVE, BIGQUERY)))
    await overview.shows_ground_truth(stage)
    await stage.alertmanager.until_gone("MmsMigrationFinished", "prod")
