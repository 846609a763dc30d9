"""Run benchmarks, print one table, and write benchmarks/results.json and docs/performance.md: `make bench`.

`python -m benchmarks.run scraping memory` runs only these and keeps the other results. A missed target is printed and
gives exit code 1. Machines are shared, so no test asserts a duration.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from benchmarks import growth, loop_stalls, memory, pages, processor, refreshing, rendering, scraping, starts
from benchmarks.figures import Figure, table
from benchmarks.machine import description, load
from benchmarks.report import Results, Subject, read_results, write

SUBJECTS: Final[dict[str, Callable[[], Awaitable[list[Figure]]]]] = {
    "rendering": rendering.figures,
    "scraping": scraping.figures,
    "loop_stalls": loop_stalls.figures,
    "refreshing": refreshing.figures,
    "processor": processor.figures,
    "memory": memory.figures,
    "growth": growth.figures,
    "pages": pages.figures,
    "starts": starts.figures,
}


async def measured(names: Sequence[str], before: Results) -> Results:
    """Return `before` with new results of the subjects `names`."""
    subjects, points = dict(before.subjects), before.growth
    for name in names:
        figures = tuple(await SUBJECTS[name]())
        subjects[name] = Subject(figures, datetime.now(UTC).strftime("%Y-%m-%d"), load(), description())
        print(f"{table(figures)}\n", flush=True)
        if name == "growth":
            points = tuple(await growth.points())
    return Results({name: subjects[name] for name in SUBJECTS if name in subjects}, points)


def main(names: Sequence[str]) -> int:
    """Run the benchmarks, and return the exit code."""
    if unknown := set(names) - set(SUBJECTS):
        print(f"no such subject: {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}", file=sys.stderr)
        return 2
    results = asyncio.run(measured(names or list(SUBJECTS), read_results()))
    write(results)
    figures = results.figures()
    missed = [each for each in figures if each.is_kept is False]
    print(f"{table(figures)}\n\n{len(missed)} of {sum(each.is_kept is not None for each in figures)} targets missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
