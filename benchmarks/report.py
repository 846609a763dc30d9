"""Store results in benchmarks/results.json and write docs/performance.md."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figures import HEAD, Figure
from benchmarks.plot import Line, plot

FOLDER: Final = Path(__file__).parent
RESULTS: Final = FOLDER / "results.json"
PAGE: Final = FOLDER.parent / "docs" / "performance.md"
PLOT: Final = FOLDER.parent / "docs" / "images" / "growth.svg"

OPENING: Final = """# Performance

`make bench` writes this page. Each section names the machine and the date of the measurement. References are measured
in the same run, alternating with the exporter. The ratios are more portable to other machines than absolute values.
"""
HEADINGS: Final = {
    "rendering": "Rendering of 100,000 series",
    "scraping": "Scrapes of 100,000 series",
    "loop_stalls": "Scrapes during refreshes",
    "refreshing": "A refresh",
    "processor": "CPU time of a steady refresh",
    "memory": "Memory",
    "growth": "1,000,000 series",
    "pages": "The status page",
    "starts": "Startup",
}
REMARKS: Final = {
    "rendering": "Every refresh updates the last-success timestamp of each data source, so these series are always "
    "rendered again. A changed data source is compressed again with its neighbors, in blocks of a few dozen.",
    "scraping": "Over loopback, from the request to the last byte; each server runs in its own process. The gzip "
    "figures of `generate_latest` include the compression of each response.",
    "loop_stalls": "Refreshes run back to back while all data changes; a client scrapes 10 times per second with gzip. "
    "Because other processes delay a scrape too, the reference is the same scrape of an idle process. A stall is the "
    "time for which the event loop runs one callback or waits for another thread of the process; time without a CPU, "
    "as reported by the kernel, is subtracted.",
    "refreshing": "The simulated MMS runs on the same machine with a latency of 20 ms per response, without a rate "
    "limit and with 8 concurrent requests. The sequential loop lists the data sources and 4 lists of each.",
    "processor": "Client and collectors: signing, HTTP, decoding, comparison, state update. The reference is a plain "
    "aiohttp client that reads the same responses and calls `json.loads` on them. A data source whose jobs "
    "fit on one page costs 1 request; any other costs 4, with up to 100 finished jobs in the responses. The smaller "
    "the response, the larger the share of the fixed cost per request. In a steady refresh, responses equal the "
    'previous ones byte for byte and are not decoded again; with "all changed", every response is decoded.',
    "memory": "One process serves a constant migration. In the other, 5 of 125 data sources are replaced at every "
    "refresh; each has 75 running jobs, and 10 % of its jobs end during its life. Numbers in names and IDs keep their "
    "number of digits, except for 1 job in 20, because longer numbers make longer series. The warm-up replaces all "
    "data sources once. The figure is the peak while all data sources are replaced again, and after that.",
}


class Subject(msgspec.Struct, frozen=True):
    """The figures of one benchmark, with machine and date."""

    figures: tuple[Figure, ...]
    date: str
    load: float
    machine: str


class Results(msgspec.Struct, frozen=True):
    """The results of all benchmarks."""

    subjects: Mapping[str, Subject] = {}
    growth: tuple[dict[str, float], ...] = ()
    """For each size: number of series, cost in milliseconds and MiB."""

    def figures(self) -> list[Figure]:
        """Return all figures."""
        return [figure for subject in self.subjects.values() for figure in subject.figures]


def read_results() -> Results:
    """Return the stored results."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Results) if RESULTS.exists() else Results()


def write(results: Results) -> None:
    """Write the results, the page and the plot."""
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    PAGE.write_text(page(results), encoding="utf-8")
    PLOT.write_text(growth_plot(results), encoding="utf-8")


def page(results: Results) -> str:
    """Return docs/performance.md."""
    return "\n".join([OPENING, *(line for name, each in results.subjects.items() for line in _section(name, each))])


def _section(name: str, subject: Subject) -> Iterator[str]:
    yield f"## {HEADINGS[name]}\n"
    if name in REMARKS:
        yield f"{REMARKS[name]}\n"
    yield f"| {' | '.join(HEAD)} |"
    yield "|---" * len(HEAD) + "|"
    for figure in subject.figures:
        yield f"| {' | '.join(figure.cells())} |"
    yield f"\n{subject.date}, {subject.machine}; load {subject.load:.1f}.\n"
    if name == "growth":
        yield "![Cost by number of series](images/growth.svg)\n"


def growth_plot(results: Results) -> str:
    """Return the plot of cost by number of series."""
    lines = (
        Line("full rendering, ms", "whole", "#2563eb"),
        Line("rendering after 1 % changed, ms", "part", "#0d9488"),
        Line("memory of snapshot and exposition, MiB", "resident", "#b45309"),
    )
    return plot("Cost by number of series", results.growth, lines)


if __name__ == "__main__":
    write(read_results())
