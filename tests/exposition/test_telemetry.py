"""The exporter's own metrics: changes are visible immediately, process metrics within one second."""

from collections.abc import Callable

import pytest

from exporter.clock import Clock
from exporter.exposition.telemetry import PROCESS_CACHE_SECONDS, AccountTelemetry, Telemetry
from exporter.simulator import ManualClock
from tests.exposition_parser import read

EVENTS: dict[str, Callable[[AccountTelemetry], None]] = {
    "mms_api_requests_total": lambda account: account.attempted("ListMmsJobs", 0.1, None),
    "mms_api_request_failures_total": lambda account: account.attempted("ListMmsJobs", 0.1, "timeout"),
    "mms_api_permission_denied": lambda account: account.attempted("ListMmsJobs", 0.1, "permission"),
    "mms_api_retries_total": lambda account: account.retried("ListMmsJobs"),
    "mms_api_rate_limit_wait_seconds_total": lambda account: account.waited("ListMmsJobs", 2.0),
    "mms_exporter_unexpected_values_total": lambda account: account.unexpected("ListMmsJobs", ["total"]),
    "mms_refresh_skipped_total": lambda account: account.skipped(),
}


@pytest.mark.parametrize("family", EVENTS)
def test_each_event_is_visible_to_the_next_scrape(family: str) -> None:
    telemetry = Telemetry(with_process=False)
    account = telemetry.account("a")
    before = telemetry.page("text")
    EVENTS[family](account)
    assert read(telemetry.page("text")).samples[family] != read(before).samples.get(family)


def test_each_state_change_is_visible_to_the_next_scrape() -> None:
    telemetry = Telemetry(with_process=False)
    telemetry.account("a")
    telemetry.page("text")
    telemetry.note_load(5.0, is_current=True)
    assert read(telemetry.page("text")).value("mms_exporter_config_last_reload_success_timestamp_seconds") == 5
    telemetry.note_rendering(0.5, 7)
    assert read(telemetry.page("text")).value("mms_exporter_series") == 7
    telemetry.forget_account("a")
    assert b'account="a"' not in telemetry.page("text")


def test_a_denied_operation_stays_denied_until_it_succeeds_or_the_account_starts_again() -> None:
    telemetry = Telemetry(with_process=False)
    account = telemetry.account("a")

    def denied() -> float | None:
        page = read(telemetry.page("text"))
        return page.value("mms_api_permission_denied", account="a", operation="ListMmsJobs")

    seen = [denied()]
    for reason in ("permission", "timeout", None, "unsupported", "permission"):
        account.attempted("ListMmsJobs", 0.1, reason)
        seen.append(denied())
    telemetry.account("a")
    assert [*seen, denied()] == [0, 1, 1, 0, 0, 1, 0]


def test_scrapes_within_one_second_share_a_page() -> None:
    clock = ManualClock(1000.0)
    telemetry = Telemetry(clock=Clock(monotonic=clock))
    first = telemetry.page("text")
    clock.advance(PROCESS_CACHE_SECONDS)
    assert telemetry.page("text") is first
    clock.advance(0.1)
    assert telemetry.page("text") is not first
