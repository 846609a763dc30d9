"""The story of one migration, chapter by chapter: what happens in MMS, and whom it wakes.

Each chapter listens for exactly what its cause brings; `AlertmanagerReceiver.hears` fails on anything else.
"""

from tests.story import overview
from tests.story.alertmanager_receiver import began, ended
from tests.story.servers import until
from tests.story.stage import Stage

HIVE, BIGQUERY, AT_REST = "hive-sales-001", "bigquery-sales-002", "maxcompute-sales-003"
BURST_TABLES = 14
"""Enough, with their partitions, for more failures than MMS advises to go on with."""
THROTTLED_SHARE = 0.3


async def healthy(stage: Stage) -> None:
    """Wait until everything is known and moves; no alert so much as pends."""

    async def is_known() -> bool:
        pace = await stage.prometheus.at('mms:source:done_per_hour:deriv1h{account="prod", kind="partition"} > 0')
        return {each["metric"]["source"] for each in pace} >= {HIVE, BIGQUERY}

    await until(is_known, "both sources move")
    assert await stage.prometheus.at("ALERTS") == []


async def agent_out(stage: Stage) -> None:
    """Take an agent off while work is left; from now on another source stands still, with nothing else to be seen."""
    prod, receiver = stage.prod, stage.receiver

    async def is_doing() -> bool:
        return prod.is_doing(prod.ids[BIGQUERY])

    await until(is_doing, "partitions are being migrated")
    prod.stall(prod.ids[BIGQUERY])
    prod.set_agent(prod.ids[HIVE], online=False)
    await receiver.hears("prod", began("MmsAgentOffline", HIVE))
    prod.set_agent(prod.ids[HIVE], online=True)
    await receiver.hears("prod", ended("MmsAgentOffline", HIVE))


async def burst_of_failures(stage: Stage) -> None:
    """Let much fail at once: one page, then tickets for what stays failed, until it is tried again with success."""
    prod, receiver = stage.prod, stage.receiver
    assert prod.fail_tables(prod.ids[HIVE], BURST_TABLES) > 100
    prod.set_agent(prod.ids[AT_REST], online=False)
    await receiver.hears("prod", began("MmsFailureBurst", HIVE))
    silenced = ("MmsPartitionsFailed", "MmsTablesFailed", "MmsFailureRatioHigh")
    await stage.alertmanager.until_silenced("MmsFailureBurst", "prod", *silenced[:2])
    tickets = [began(alert, HIVE) for alert in silenced]
    # An agent that nothing waits for is told as well, at about the same time.
    await receiver.hears("prod", ended("MmsFailureBurst", HIVE), *tickets, began("MmsAgentOfflineAtRest", AT_REST))
    await overview.shows_what_is(stage)
    prod.set_agent(prod.ids[AT_REST], online=True)
    prod.retry(prod.ids[HIVE])
    await receiver.hears("prod", *(ended(alert, HIVE) for alert in silenced))
    await stage.alertmanager.until_gone("MmsAgentOfflineAtRest", "prod")


async def stall(stage: Stage) -> None:
    """Let what stands still begin to fail: a page, and when that is over the ticket that it stands still."""
    prod, receiver = stage.prod, stage.receiver
    prod.fail_partitions(prod.ids[BIGQUERY], 3)
    await receiver.hears("prod", began("MmsNoSuccess", BIGQUERY))
    await stage.alertmanager.until_silenced("MmsNoSuccess", "prod", "MmsPartitionsFailed", "MmsMigrationStalled")
    await receiver.hears("prod", ended("MmsNoSuccess", BIGQUERY), began("MmsMigrationStalled", BIGQUERY))
    prod.stall(prod.ids[BIGQUERY], stalled=False)
    await receiver.hears("prod", ended("MmsMigrationStalled", BIGQUERY))


async def throttling(stage: Stage) -> None:
    """Let MMS find the calls too many."""
    fault = stage.prod.throttle(THROTTLED_SHARE)
    await stage.receiver.hears("prod", began("MmsThrottled"))
    stage.prod.relent(fault)
    await stage.receiver.hears("prod", ended("MmsThrottled"))


async def credentials_refused(stage: Stage) -> None:
    """Let the key not be known any more: told once, as what it is, however much follows from it."""
    stage.prod.forget_key()
    await stage.receiver.hears("prod", began("MmsCredentialsRefused"))
    followers = ("MmsAccountUnreadable", "MmsSourceStale", "MmsCollectorStale")
    await stage.alertmanager.until_silenced("MmsCredentialsRefused", "prod", *followers)
    await overview.shows_that_nothing_is_known(stage)
    stage.prod.know_key()
    await stage.receiver.hears("prod", ended("MmsCredentialsRefused"))


async def exporter_gone(stage: Stage) -> None:
    """Kill the exporter and start it again; nothing else is told meanwhile, or for its having been away."""
    await stage.exporter.kill()
    await stage.receiver.hears("", began("MmsExporterAbsent"))
    await stage.exporter.start()
    await stage.receiver.hears("", ended("MmsExporterAbsent"))


async def configuration_refused(stage: Stage) -> None:
    """Have a configuration refused that makes no sense, and then accepted."""
    good = stage.exporter.file.read_text()
    stage.exporter.file.write_text(good + "nonsense: true\n")
    assert await stage.exporter.reload(stage.session) == 400
    await stage.receiver.hears("", began("MmsConfigReloadFailed"))
    stage.exporter.file.write_text(good)
    assert await stage.exporter.reload(stage.session) == 200
    await stage.receiver.hears("", ended("MmsConfigReloadFailed"))


async def end(stage: Stage) -> None:
    """Try what failed again, and do all the rest."""
    prod = stage.prod
    prod.retry(prod.ids[BIGQUERY])
    prod.clock.leap(86400)
    await stage.receiver.hears("prod", *(began("MmsMigrationFinished", source) for source in (HIVE, BIGQUERY)))
    await overview.shows_what_is(stage)
    await stage.alertmanager.until_gone("MmsMigrationFinished", "prod")
