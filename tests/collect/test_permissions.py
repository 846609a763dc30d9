"""A refusal ends with the next success, and without one if nothing needs the operation any more."""

from collections.abc import Callable

import pytest

from exporter.collect.permissions import REFUSAL_SECONDS
from exporter.simulator import ManualClock
from tests.collect.conftest import HandWrittenMms
from tests.conftest import config_on
from tests.exposition_parser import read
from tests.harness import Harness, harness_on


def is_denied(harness: Harness, operation: str) -> bool:
    """Return whether the exporter's own metrics show an operation as denied."""
    return read(harness.telemetry.page("text")).value("mms_api_permission_denied", operation=operation) == 1


def need_scan(mms: HandWrittenMms) -> None:
    mms.row |= {"scanId": 1, "scanStatus": "DOING"}
    mms.scans[1] = {"id": 1, "status": "DOING", "progress": 1}


def need_timer_log(mms: HandWrittenMms) -> None:
    mms.add_timer(1)


def need_failed_tables(mms: HandWrittenMms) -> None:
    mms.fail_tables((1, "sales", "orders"))


def need_task_log(mms: HandWrittenMms) -> None:
    need_failed_tables(mms)
    mms.add_tasks(1, "DATA_FAILED")


def need_nothing(mms: HandWrittenMms) -> None:
    mms.row |= {"scanStatus": "DONE", "tablesFailedNum": 0}
    mms.timers.clear()


NEEDS = {
    ("scan", "scan", "GetMmsFetchMetadataJob"): need_scan,
    ("timers", "timer_logs", "ListMmsTimerLogs"): need_timer_log,
    ("reasons", "logs", "ListMmsTaskLogs"): need_task_log,
    ("failures", "tables", "ListMmsTables"): need_failed_tables,
}
"""By collector, name of the call and operation: what lets the collector call it."""


@pytest.mark.parametrize("is_reloaded", [False, True], ids=["an hour later", "reloaded"])
@pytest.mark.parametrize(("names", "need"), NEEDS.items(), ids=[key[2] for key in NEEDS])
async def test_a_refusal_ends_although_nothing_needs_the_operation(
    mms: HandWrittenMms,
    mms_url: str,
    clock: ManualClock,
    names: tuple[str, str, str],
    need: Callable[[HandWrittenMms], None],
    *,
    is_reloaded: bool,
) -> None:
    collector, call, operation = names
    need(mms)
    mms.forbidden.add(call)
    async with harness_on(config_on(mms_url), clock) as harness:
        await harness.refresh()
        need_nothing(mms)
        clock.advance(REFUSAL_SECONDS - 1)
        served = await harness.refresh()
        assert is_denied(harness, operation)
        assert served.value("mms_refresh_success", collector=collector) == 0
        if is_reloaded:
            harness.refresher.note_reload()
            assert not is_denied(harness, operation)
        else:
            clock.advance(1)
        served = await harness.refresh()
        assert not is_denied(harness, operation)
        assert served.value("mms_refresh_success", collector=collector) == 1
        assert mms.calls[call] == 1, "not needed, not called"


async def test_a_refusal_lasts_while_another_collector_has_it(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.forbidden |= {"outdated", "partitions", "partition"}
    mms.fail_partitions((1, "sales", "orders", "ds=1"))
    async with harness_on(config_on(mms_url), clock) as harness:
        served = await harness.refresh()
        assert {served.value("mms_refresh_success", collector=name) for name in ("scan", "failures")} == {0}
        mms.fail_partitions()
        clock.advance(REFUSAL_SECONDS)
        served = await harness.refresh()
        assert served.value("mms_refresh_success", collector="failures") == 1, "it needs no list"
        assert served.value("mms_refresh_success", collector="scan") == 0
        assert is_denied(harness, "ListMmsPartitions")
