"""The conversation with a person: what is said to one while a command works, and the one question that it asks."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from exporter.console.output_style import OutputStyle
from exporter.mms.models import Job

Show = Callable[[Sequence[Job]], None]


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a person reads and writes, if there is one. Results go elsewhere, so that they can be piped."""

    given: TextIO
    said: TextIO
    paper: OutputStyle
    """Of what is said."""

    @property
    def is_interactive(self) -> bool:
        """Whether somebody sees a question, and can answer it."""
        return self.given.isatty() and self.said.isatty()

    def say(self, text: str) -> None:
        """Say a line; a listener who is gone hinders nothing."""
        with suppress(OSError):
            print(text.encode(self.paper.encoding, "backslashreplace").decode(self.paper.encoding), file=self.said)

    async def agrees(self, question: str) -> bool:
        """Ask, and return whether the answer is yes; anything else, and the end of input, is no."""
        self.said.write(f"{question} [y/N] ")
        self.said.flush()
        # In a thread, which ends with the process: Ctrl-C does not wait for a line.
        answer = await asyncio.to_thread(self.given.readline)
        return answer.strip().lower() in {"y", "yes"}

    @contextmanager
    def watching(self) -> Iterator[Show]:
        """Provide what shows how far jobs are: a bar on a terminal; elsewhere a line whenever that has changed."""
        if self.paper.width is None:
            yield self._line_by_line()
            return
        console = Console(
            file=self.said,
            width=self.paper.width,
            force_terminal=True,
            no_color=not self.paper.has_color,
            legacy_windows=False,
            highlight=False,
        )
        columns = BarColumn(), TextColumn("{task.description}", markup=False)
        with Progress(*columns, console=console, auto_refresh=False) as progress:
            bar = progress.add_task("")

            def show(jobs: Sequence[Job]) -> None:
                total = sum(job.task_num or 0 for job in jobs)
                done = sum(job.task_done or 0 for job in jobs)
                progress.update(bar, total=total or None, completed=done, description=how_far(jobs), refresh=True)

            yield show

    def _line_by_line(self) -> Show:
        last = [""]

        def show(jobs: Sequence[Job]) -> None:
            text = how_far(jobs)
            if text != last[0]:
                last[0] = text
                self.say(text)

        return show


def how_far(jobs: Sequence[Job]) -> str:
    """Return how far several jobs are together."""
    done, total = sum(job.task_done or 0 for job in jobs), sum(job.task_num or 0 for job in jobs)
    statuses = [(job.status or "UNKNOWN").upper() for job in jobs]
    counts = ", ".join(f"{statuses.count(status):,} {status}" for status in dict.fromkeys(sorted(statuses)))
    return f"{done:,} of {total:,} tasks done; jobs: {counts}"
