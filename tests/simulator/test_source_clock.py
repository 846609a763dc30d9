"""Conversions of a source's time in both directions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator.world.source_clock import Outage, SourceClock

seconds = st.floats(min_value=0, max_value=1e6)


@settings(deadline=None)
@given(seconds, seconds)
def test_a_moment_never_goes_back(first: float, second: float) -> None:
    clock = _interrupted()
    early, late = sorted((first, second))
    assert clock.moment(early) <= clock.moment(late)


@settings(deadline=None)
@given(seconds)
def test_a_moment_converts_back_to_seconds(second: float) -> None:
    clock = _interrupted()
    moment = clock.moment(second)
    assert clock.moment(clock.seconds(moment)) == pytest.approx(moment, abs=1e-5)
    assert clock.seconds(moment) <= second + 1e-5


def test_times_before_the_start_are_unchanged() -> None:
    clock = _interrupted()
    assert clock.moment(-500.0) == clock.seconds(-500.0) == -500.0


def test_an_outage_is_the_last_part_of_its_period() -> None:
    outage = Outage(period=100, seconds=20)
    assert outage.place(79)[1] < 0
    assert outage.place(90) == (0, 0.5)
    assert outage.moment(85) == outage.moment(99) == 80
    assert outage.moment(150) == 130


def _interrupted() -> SourceClock:
    clock = SourceClock(Outage(period=1000, seconds=100))
    for begin, end in ((50.0, 75.0), (5000.0, 9000.0)):
        clock.pause("stall", begin)
        clock.resume("stall", end)
    return clock
