"""What the command line asks `retry` to do, and what in it is unclear."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from exporter.errors import Problem
from exporter.retry.selection import RetrySelection
from exporter.retry.sending import SETTLE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """What is to be migrated again, and how a person is asked about it."""

    state_folder: Path
    """Where runs are written down."""
    account: str | None = None
    source: str | None = None
    """Name or id; None only where a run is resumed."""
    selection: RetrySelection = field(default_factory=RetrySelection)
    dry_run: bool = False
    yes: bool = False
    watch: bool = False
    resume: Path | None = None
    """What an interrupted run wrote down."""
    resend: bool = False
    """Whether a person said that jobs in doubt were not made, and are to be sent again."""
    settle_seconds: float = SETTLE_SECONDS
    """For how long lists and statuses of MMS may lag behind jobs."""

    @classmethod
    def of(cls, values: Mapping[str, Any], state_folder: Path) -> Self:
        """Return what the values of a command line ask for, by their names there."""
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
        )

    def problems(self, *, is_interactive: bool) -> Iterator[Problem]:
        """Yield what makes it unclear what is meant, or whether it may be done."""
        selection = self.selection
        if self.resume is not None:
            if self.source or self.account or not selection.is_empty or self.dry_run:
                yield Problem("--resume", "says by itself what is meant; give nothing beside it but --watch or --yes")
            return
        if self.resend:
            yield Problem("--resend", "is for jobs in doubt of an earlier run; give it with --resume")
        if not self.source:
            yield Problem("--source", "is required: the data source, by name or id")
        if selection.is_empty:
            yield Problem("--failed", "give it, or name what is meant with --table, --partition or --job")
        elif selection.failed and (selection.tables or selection.partitions or selection.jobs):
            yield Problem("--failed", "is all of them; leave out --table, --partition and --job, or this")
        if not (is_interactive or self.yes or self.dry_run):
            yield Problem("--yes", "is needed where there is no terminal to ask on; --dry-run shows what would be sent")
