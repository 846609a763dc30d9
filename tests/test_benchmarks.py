"""The benchmarks say what they measured, and only what they measured."""

import pytest

from benchmarks.figures import Bound, Figure, table
from benchmarks.heartbeat import stall_milliseconds
from benchmarks.plot import Line, plot
from benchmarks.report import PAGE, PLOT, growth_plot, page, read_results


def test_the_page_is_what_was_measured() -> None:
    """`make bench` writes both."""
    assert PAGE.read_text(encoding="utf-8") == page(read_results())


def test_the_plot_is_what_was_measured() -> None:
    assert PLOT.read_text(encoding="utf-8") == growth_plot(read_results())


@pytest.mark.parametrize(
    ("value", "bound", "ratio", "is_kept"),
    [
        (2.0, None, 5.0, None),
        (2.0, Bound("at least", 5), 5.0, True),
        (2.1, Bound("at least", 5), 10 / 2.1, False),
        (12.0, Bound("at most", 1.3), 1.2, True),
        (14.0, Bound("at most", 1.3), 1.4, False),
        (14.0, Bound("at most", 15, of="value"), 1.4, True),
    ],
)
def test_a_ratio_is_judged_by_its_bound(
    value: float,
    bound: Bound | None,
    ratio: float,
    is_kept: bool | None,  # noqa: FBT001 - a case
) -> None:
    figure = Figure(what="ours", value=value, beside="theirs", beside_value=10.0, bound=bound)
    assert figure.ratio == pytest.approx(ratio)
    assert figure.is_kept is is_kept


def test_a_bound_on_what_could_not_be_compared_is_missed() -> None:
    assert Figure(what="ours", value=1.0, bound=Bound("at least", 5)).is_kept is False


def test_a_missed_bound_is_said() -> None:
    figure = Figure(what="scrape", value=30.0, bound=Bound("at most", 25, of="value"))
    assert table([figure]).splitlines()[1].split("  ")[-1] == "at most 25 ms: missed"


@pytest.mark.parametrize(
    ("loop", "other", "late", "held"),
    [
        ((30.0, 0.0), (0.0, 0.0), 30.0, 30.0),
        ((1.0, 29.0), (0.0, 0.0), 30.0, 1.0),
        ((1.0, 0.0), (29.0, 0.0), 30.0, 30.0),
        ((1.0, 0.0), (9.0, 20.0), 30.0, 10.0),
    ],
    ids=["it ran", "it waited for a processor", "another thread ran", "another thread waited for a processor"],
)
def test_a_loop_is_held_by_its_own_process_alone(
    loop: tuple[float, float], other: tuple[float, float], late: float, held: float
) -> None:
    now = {"loop": loop, "other": other}
    assert stall_milliseconds("loop", late, {"loop": (0.0, 0.0)}, now) == held


def test_more_is_drawn_higher_and_further_right() -> None:
    drawn = plot("Cost", [{"series": 1e3, "ms": 1.0}, {"series": 1e6, "ms": 1e3}], [Line("ms", "ms", "#000")])
    start, end = (
        part.split()[:2]
        for part in drawn.partition('<path d="M')[2]
        .rpartition('fill="none"')[0]
        .rpartition('d="M')[2]
        .rstrip('" ')
        .split("L")
    )
    assert float(start[0]) < float(end[0])
    assert float(start[1]) > float(end[1])
