"""From a permission that is withdrawn to nothing left FAILED: the alert, the page and the commands name one reason.

The exporter, Prometheus, Alertmanager and the command line run as processes; MMS is simulated.
"""

import asyncio
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.mms.diagnosis.reason_rules import HINTS, Reason
from exporter.simulator import apply_event
from exporter.simulator.world import events
from tests.processes import run
from tests.story.alertmanager_receiver import firing, resolved
from tests.story.servers import until
from tests.story.stage import Stage, staged
from tests.story.test_rescue import AT_REST, command, get, has_no_failures
from tests.story.time_scale import SLOWDOWN

TABLES, PARTITIONS = 6, 3
"""Failures of the job: tables, and partitions of each. More than 20 fire MmsFailureBurst, which pages instead.

Each table is one task; MmsFailureReasonDominates needs 5. One of them begins after the others failed, so that the alert
on the reason begins before that on the job.
"""
FAILING_JOBS = 5
"""Too few for MmsFailureReasonDominates."""
OTHERS = {"MmsJobFailed", "MmsTablesFailed"}
"""Alerts on the same failures, which a mismatch does not inhibit."""


@pytest.mark.long
@pytest.mark.timeout(600 * SLOWDOWN)
@pytest.mark.parametrize("server", ["PROMETHEUS", pytest.param("PROMETHEUS3", marks=pytest.mark.scale)])
async def test_one_reason_is_named_repaired_and_retried_exactly(tmp_path: Path, server: str) -> None:
    async with staged(tmp_path, server=server) as stage, asyncio.TaskGroup() as group:
        group.create_task(data_differs(stage))
        await until(lambda: has_no_failures(stage), "Prometheus sees that nothing has failed")
        failed = await fail_without_permission(stage)

        await stage.receiver.expect("prod", firing("MmsFailureReasonDominates", AT_REST))
        await until(lambda: is_named_by_alert(stage), "the alert names the reason")
        await until(lambda: is_on_the_page(stage), "the page names the reason")
        retry = await retry_command(stage)

        apply_event(stage.prod.world, events.SetPermission(source_id=stage.prod.ids[AT_REST], granted=True))
        retried = await run(*retry, "--yes", "--watch", seconds=60 * SLOWDOWN)
        assert retried.code == 0, retried.out + retried.err
        assert migrated_after(stage) == failed
        assert failed_partitions(stage) == set()
        await until(lambda: has_no_failures(stage), "Prometheus sees that nothing has failed any more")
        await until(lambda: is_quiet(stage), "all alerts on failures have ended")
        assert "no failed tables or partitions" in (await command(stage, "failed", "--why")).err


async def fail_without_permission(stage: Stage) -> set[int]:
    """Withdraw the permission at the destination, and migrate changed partitions; returns the failed ones."""
    prod, source_id = stage.prod, stage.prod.ids[AT_REST]
    changed = tuple(some_partitions(stage))
    apply_event(prod.world, events.Change(source_id=source_id, partition_ids=changed))
    apply_event(prod.world, events.SetPermission(source_id=source_id, granted=False))
    prod.migrate_partitions(source_id, changed)

    async def have_failed() -> bool:
        return failed_partitions(stage) == set(changed)

    await until(have_failed, "the partitions fail")
    return set(changed)


def some_partitions(stage: Stage) -> Iterator[int]:
    """Yield some partitions of each of some tables of one database."""
    truth, source_id = stage.prod.world.truth(), stage.prod.ids[AT_REST]
    done = [each for each in truth.tables(source_id) if each.status == "DONE" and (each.partitions or 0) > PARTITIONS]
    partitions, database = list(truth.partitions(source_id)), done[0].db_name
    for table in [each for each in done if each.db_name == database][:TABLES]:
        yield from [each.id for each in partitions if each.table_id == table.id][:PARTITIONS]


def failed_partitions(stage: Stage) -> set[int]:
    """Return the failed partitions by ground truth."""
    partitions = stage.prod.world.truth().partitions(stage.prod.ids[AT_REST])
    return {each.id for each in partitions if each.status == "FAILED"}


async def is_named_by_alert(stage: Stage) -> bool:
    """Return whether the text of the alert has the reason, its hint and the next command."""
    for each in await stage.alertmanager.alerts():
        if (each["labels"]["alertname"], each["labels"].get("source")) == ("MmsFailureReasonDominates", AT_REST):
            text = each["annotations"]["description"]
            assert "100% of the" in text
            assert "examined new failed tasks" in text
            assert "have the reason permission, and " in text
            assert HINTS[Reason.PERMISSION] in text
            assert f"`mms-exporter failed --why --account=prod --source={stage.prod.ids[AT_REST]}`" in text
            return True
    return False


async def is_on_the_page(stage: Stage) -> bool:
    """Return whether the page and its JSON name the one reason."""
    report = json.loads(await get(stage, "/api/v1/status"))
    (source,) = [each for each in report["sources"] if (each["account"], each["name"]) == ("prod", AT_REST)]
    reasons = [each["reason"] for each in source["reasons"]["listed"]] if source["reasons"] else []
    return reasons == ["permission"] and "<b>permission</b>" in await get(stage, "/")


async def retry_command(stage: Stage) -> list[str]:
    """Return the words of the command that `failed --why` prints for its only group."""
    shown = await command(stage, "failed", "--why", "--output=json")
    assert shown.code == 0, shown.err
    groups: list[dict[str, Any]] = json.loads(shown.out)
    assert [group["reason"] for group in groups] == ["permission"]
    (group,) = groups
    assert (group["count"], len(group["tables"])) == (TABLES * PARTITIONS, TABLES)
    assert "You have NO privilege 'odps:Update'" in group["example"]
    words = shlex.split(group["retry"])
    return words[words.index("retry") :]


def migrated_after(stage: Stage) -> set[int]:
    """Return the partitions in the scope of the jobs that `retry` created."""
    site = stage.prod.world.site(stage.prod.ids[AT_REST])
    retried = [created for created in site.job_store.created if created.job.id not in site.denied_jobs]
    scopes = [(table, unit) for created in retried for table, units in created.scope.items() for unit in units]
    assert len(scopes) == len(set(scopes)), "no partition is in two jobs"
    return {site.partition_id(table, unit) for table, unit in scopes}


async def is_quiet(stage: Stage) -> bool:
    """Return whether no alert on failures of the source is active."""
    alerts = [each["labels"] for each in await stage.alertmanager.alerts()]
    return not any(each.get("source") == AT_REST and each["severity"] != "info" for each in alerts)


async def data_differs(stage: Stage) -> None:
    """Fail some tasks of another account in verification, then delete their source."""
    lab = stage.lab
    _, (source, source_id), *_ = lab.ids.items()
    lab.migrate(source_id, FAILING_JOBS)
    await stage.receiver.expect("lab", firing("MmsVerificationFailed", source), may=OTHERS)
    lab.remove(source_id)
    await stage.receiver.expect("lab", resolved("MmsVerificationFailed", source), may=OTHERS)
