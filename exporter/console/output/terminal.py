"""Output streams, and the messages, the confirmation question and the progress bar of `retry`."""

import asyncio
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from exporter.mms.models.records import Job

ShowProgress = Callable[[Sequence[Job]], None]
DEFAULT_WIDTH: Final = 80


@dataclass(frozen=True, slots=True)
class OutputStyle:
    """How a stream is written."""

    width: int | None = None
    """Columns of the terminal; None for a pipe or file, whose lines have any length."""
    has_color: bool = False
    encoding: str = "utf-8"

    @classmethod
    def of(cls, stream: TextIO, environment: Mapping[str, str]) -> Self:
        """Return the style of a stream; `NO_COLOR` and `TERM=dumb` disable colour."""
        if not stream.isatty():
            return cls(encoding=stream.encoding)
        has_color = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        return cls(_width(stream), has_color, stream.encoding)


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
    except (OSError, io.UnsupportedOperation):
        return DEFAULT_WIDTH


@dataclass(frozen=True, slots=True)
class Terminal:
    """The input and error stream of a user. Results go to standard output."""

    stdin: TextIO
    stderr: TextIO
    style: OutputStyle
    """Style of the error stream."""

    @property
    def is_interactive(self) -> bool:
        """Whether a user can see and answer a question."""
        return self.stdin.isatty() and self.stderr.isatty()

    def print_line(self, text: str) -> None:
        """Print a line; a closed stream is ignored."""
        with suppress(OSError):
            print(text.encode(self.style.encoding, "backslashreplace").decode(self.style.encoding), file=self.stderr)

    async def confirm(self, question: str) -> bool:
        """Ask a question; only y and yes mean yes."""
        self.stderr.write(f"{question} [y/N] ")
        self.stderr.flush()
        # A daemon thread: Ctrl-C does not wait for a line.
        answer = await asyncio.to_thread(self.stdin.readline)
        return answer.strip().lower() in {"y", "yes"}

    @contextmanager
    def show_progress(self) -> Iterator[ShowProgress]:
        """Provide a function that shows the progress of jobs."""
        if self.style.width is None:
            yield self._line_printer()
            return
        console = Console(
            file=self.stderr,
            width=self.style.width,
            force_terminal=True,
            no_color=not self.style.has_color,
            legacy_windows=False,
            highlight=False,
        )
        columns = BarColumn(), TextColumn("{task.description}", markup=False)
        with Progress(*columns, console=console, auto_refresh=False) as progress:
            bar = progress.add_task("")

            def show(jobs: Sequence[Job]) -> None:
                total = sum(job.task_num or 0 for job in jobs)
                done = sum(job.task_done or 0 for job in jobs)
                progress.update(bar, total=total or None, completed=done, description=progress_text(jobs), refresh=True)

            yield show

    def _line_printer(self) -> ShowProgress:
        last = [""]

        def show(jobs: Sequence[Job]) -> None:
            text = progress_text(jobs)
            if text != last[0]:
                last[0] = text
                self.print_line(text)

        return show


def progress_text(jobs: Sequence[Job]) -> str:
    """Return the progress of several jobs as text."""
    done, total = sum(job.task_done or 0 for job in jobs), sum(job.task_num or 0 for job in jobs)
    statuses = [(job.status or "UNKNOWN").upper() for job in jobs]
    counts = ", ".join(f"{statuses.count(status):,} {status}" for status in dict.fromkeys(sorted(statuses)))
    return f"{done:,} of {total:,} tasks done; jobs: {counts}"
