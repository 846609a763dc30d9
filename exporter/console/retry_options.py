"""Options of `retry` and their validation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from exporter.config.sections import duration_text
from exporter.console.output.next_command import DEFAULT_COMMAND, NextCommand
from exporter.errors import Problem
from exporter.retry.run_context import SETTLE_SECONDS
from exporter.retry.selection import RetrySelection


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """The parsed command line of `retry`."""

    state_folder: Path
    """Folder of the journals."""
    account: str | None = None
    source: str | None = None
    """Name, glob or ID; None only for a resumed run."""
    selection: RetrySelection = field(default_factory=RetrySelection)
    dry_run: bool = False
    yes: bool = False
    watch: bool = False
    resume: Path | None = None
    """Journal of an interrupted run."""
    resend: bool = False
    """Whether jobs in doubt were not created and are sent again."""
    settle_seconds: float = SETTLE_SECONDS
    """How long lists and statuses of MMS may lag behind jobs."""
    next_command: NextCommand = DEFAULT_COMMAND

    @classmethod
    def of(cls, values: Mapping[str, Any], state_folder: Path, next_command: NextCommand = DEFAULT_COMMAND) -> Self:
        """Return the options from parsed command-line values."""
        return cls(
            state_folder=state_folder,
            account=values["account"],
            source=values["source"],
            selection=RetrySelection(
                failed=values["failed"],
                tables=values["table"],
                partitions=values["partition"],
                jobs=values["job"],
            ),
            dry_run=values["dry-run"],
            yes=values["yes"],
            watch=values["watch"],
            resume=Path(values["resume"]) if values["resume"] else None,
            resend=values["resend"],
            settle_seconds=values["settle"],
            next_command=next_command,
        )

    def resume_command(self, journal: Path) -> str:
        """Return the command that resumes a run with these settings."""
        watch = ["--watch"] if self.watch else []
        settle = [f"--settle={duration_text(self.settle_seconds)}"] if self.settle_seconds != SETTLE_SECONDS else []
        return self.next_command.text("retry", f"--resume={journal}", *watch, *settle)

    def problems(self) -> Iterator[Problem]:
        """Yield missing and conflicting options."""
        selection = self.selection
        if self.resume is not None:
            if self.source or self.account or not selection.is_empty or self.dry_run:
                yield Problem("--resume", "cannot be combined with --source, --account, a selection or --dry-run")
            return
        if self.resend:
            yield Problem("--resend", "applies to jobs in doubt of an earlier run; use it with --resume")
        if not self.source:
            yield Problem("--source", "is required: name or ID of the data source")
        if selection.is_empty:
            yield Problem("--failed", "nothing is selected; use --failed, --table, --partition or --job")
        elif selection.failed and (selection.tables or selection.partitions or selection.jobs):
            yield Problem("--failed", "selects everything; cannot be combined with --table, --partition or --job")
