"""What was measured, kept as benchmarks/results.json, and told as docs/performance.md with a plot beside it."""

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

What the exporter costs, written by `make bench`. Each figure was measured on the machine named below it, and what it is
compared with beside it, in turns: of all figures, the ratios say most about another machine.
"""
HEADINGS: Final = {
    "rendering": "Rendering of 100,000 series",
    "scraping": "Scrapes of 100,000 series",
    "holding": "Scrapes during refreshes",
    "refreshing": "A refresh",
    "processor": "Processor time of a steady refresh",
    "memory": "Memory",
    "growth": "A million series",
    "pages": "The status page",
    "starts": "Starts",
}
REMARKS: Final = {
    "rendering": "A refresh moves the time of the last success of every data source that it read, so that these series "
    "are rendered anew in any case. What changed is compressed anew with its neighbours, some dozens of data sources.",
    "scraping": "Over loopback, from the request to the last byte; each server in a process of its own. Of "
    "`generate_latest`, `gzip` includes compressing, each time.",
    "holding": "Refreshes follow one another without a pause while everything moves on; the page is scraped ten times "
    "a second, compressed. A scrape waits for whatever else the machine does, too: beside it stands the same scrape of "
    "a process that only hands out bytes. The loop counts as held while its thread runs, or waits for another thread "
    "of the process; waiting for a processor is counted by the kernel and taken off.",
    "refreshing": "MMS is simulated, on the same machine, and takes 20 ms for each answer; no limiter, eight requests "
    "at a time. The loop asks for the sources and the four lists of each, one after the other.",
    "processor": "Client and collectors: signing, HTTP, decoding, comparing, filing. A data source "
    "whose jobs fit one page costs one request, any other four, with up to a hundred finished jobs sent along. The "
    "less there is in an answer, the more counts what each request costs, by whatever client. In a steady refresh MMS "
    "says what it said before, which is known by its bytes; what is read anew is decoded, compared and filed.",
    "memory": "Of a serving process, and of one in which five of 125 data sources go with every refresh and others "
    "come, each with 75 running jobs, a tenth of which end while it is there. Numbers in names and ids "
    "have as many digits at the end as at first, but for those of one job in twenty: longer ones make longer series. "
    "The warm-up is one replacement of all sources; of the time in which all are replaced once more, what counts "
    "is the most that was held, then and later.",
}


class Subject(msgspec.Struct, frozen=True):
    """The figures of one subject, and where they come from."""

    figures: tuple[Figure, ...]
    date: str
    load: float
    machine: str


class Results(msgspec.Struct, frozen=True):
    """All that was measured."""

    subjects: Mapping[str, Subject] = {}
    growth: tuple[dict[str, float], ...] = ()
    """For each size, series, and what they cost in milliseconds and MiB."""

    def figures(self) -> list[Figure]:
        """Return all figures."""
        return [figure for subject in self.subjects.values() for figure in subject.figures]


def read_results() -> Results:
    """Return what was measured before."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=Results) if RESULTS.exists() else Results()


def write(results: Results) -> None:
    """Keep the results, and write the page and the plot."""
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
    yield f"\n{subject.date}, {subject.machine}; {subject.load:.1f} processes wanted to run.\n"
    if name == "growth":
        yield "![How cost grows with the number of series](images/growth.svg)\n"


def growth_plot(results: Results) -> str:
    """Return the plot of how cost grows."""
    lines = (
        Line("whole rendering, ms", "whole", "#2563eb"),
        Line("rendering after 1 % changed, ms", "part", "#0d9488"),
        Line("memory of snapshot and page, MiB", "resident", "#b45309"),
    )
    return plot("Cost by number of series", results.growth, lines)


if __name__ == "__main__":
    write(read_results())
