"""The error summary of a refresh: bounded, with every reason, without vendor texts."""

from exporter.collect.refresh import MAX_ERRORS_PER_COLLECTOR, summarized_errors
from exporter.errors import CallTimedOut, InternalError, PermissionRefused
from exporter.simulator import Fault, ManualClock, Simulator
from tests.conftest import config_on
from tests.harness import harness_on


def test_the_summary_has_errors_of_every_reason() -> None:
    found = summarized_errors([*(CallTimedOut(f"call {i}") for i in range(1000)), PermissionRefused("refused")])
    assert len(found) == MAX_ERRORS_PER_COLLECTOR
    assert [error.reason for error in found[:3]] == ["timeout", "permission", "timeout"]


def test_an_unexpected_error_has_a_reason_and_a_hint() -> None:
    (error,) = summarized_errors([InternalError("unexpected error KeyError; see the traceback in the log")])
    assert error.reason == "internal"
    assert error.hint


async def test_an_error_names_object_and_next_step_without_vendor_texts(
    simulator: Simulator, clock: ManualClock
) -> None:
    fault = Fault(kind="error", operation="ListMmsJobs", source_id=2000001, message="the password is hunter2")
    simulator.faults.add(fault)
    async with harness_on(config_on(simulator.url), clock) as harness:
        await harness.refresh()
        jobs = harness.refresher.snapshot().collectors[1]
    (error,) = jobs.errors
    assert (jobs.collector, jobs.errors_total, error.reason) == ("jobs", 1, "server")
    assert error.about.endswith("(2000001)")
    assert error.hint.startswith("wait; if the error persists")
    assert "hunter2" not in error.message


async def test_a_skipped_collector_has_no_errors_of_its_own(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        simulator.faults.add(Fault(kind="error", operation="ListMmsJobs", source_id=2000001))
        await harness.refresh()
        simulator.faults.add(Fault(kind="error", status=403, code="InvalidAccessKeyId.NotFound"))
        await harness.refresh()
        fared = {each.collector: each for each in harness.refresher.snapshot().collectors}
    assert [error.reason for error in fared["datasources"].errors] == ["auth"]
    assert not fared["jobs"].success
    assert fared["jobs"].errors == ()


async def test_a_successful_refresh_clears_the_errors(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        simulator.faults.add(Fault(kind="error", operation="ListMmsJobs"))
        await harness.refresh()
        simulator.faults.clear()
        await harness.refresh()
        assert not any(collector.errors for collector in harness.refresher.snapshot().collectors)


async def test_an_unchanged_collector_snapshot_is_the_same_object(simulator: Simulator, clock: ManualClock) -> None:
    async with harness_on(config_on(simulator.url), clock) as harness:
        await harness.refresh()
        before, after = harness.refresher.snapshot().collectors, harness.refresher.snapshot().collectors
    assert all(one is other for one, other in zip(before, after, strict=True))
