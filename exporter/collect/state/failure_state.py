"""What is known of a source's failed tables and partitions, and remembered from one refresh to the next. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final, Literal, Self

from msgspec import Struct, structs

from exporter.collect.snapshot import FailedUnit, FailedUnits, FailuresStats, JobStats, SourceName

Kind = Literal["table", "partition"]

ListedFailures = tuple[FailedUnits, bool]
"""What a list holds, and whether it is certain that it holds nothing else."""
MAX_LIST_AGE_SECONDS: Final = 3600.0
"""After so long a list is read again although its count stood still: some may have recovered as others failed."""
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


class KindState(Struct, frozen=True, gc=False):
    """The failures of one kind, and when that was so."""

    failures: FailedUnits
    count: int | None
    """How many there were by the source's row; None where it did not say."""
    confirmed_at: float
    """Monotonic seconds."""
    is_settled: bool
    """Whether list and row agree, or differ as they did before: then only a moved count is worth another call."""
    listed_at: float = 0.0
    """When the list was read, in monotonic seconds."""

    def is_unmoved(self, count: int | None, now: float) -> bool:
        """Tell whether a row's `count` says that nothing changed."""
        return self.is_settled and self.count == count and now - self.listed_at < MAX_LIST_AGE_SECONDS

    def doubted(self) -> Self:
        """Return the same failures, which no row can confirm."""
        return structs.replace(self, is_settled=False)

    @classmethod
    def listed(
        cls, listed: ListedFailures, wanted: int, count: int | None, now: float, before: "KindState | None"
    ) -> "KindState":
        """Return what a list brought, of which `wanted` were to be named.

        A list that holds more or fewer than its row counts was overtaken by a change; it is read once more. An
        incomplete list, or one of which not all that are wanted can be read, is read until it is complete.
        """
        failures, is_certain = listed
        was_same = before is not None and (before.count, before.failures.total) == (count, failures.total)
        is_complete = is_certain and sum(map(_is_legible, failures.newest)) >= min(wanted, failures.total)
        is_settled = is_complete and (was_same or failures.total == count)
        return cls(failures, count, now, is_settled=is_settled, listed_at=now)


def _is_legible(failed: FailedUnit) -> bool:
    """Tell whether a failure has its names, none of them with a character that stands for one that was not Unicode."""
    names = (failed.src_db, failed.table, failed.partition)
    return bool(failed.src_db and failed.table) and not any(_REPLACEMENT in name for name in names if name)


class Lookups:
    """What was found out, one by one, of the partitions that failed jobs were to migrate."""

    def __init__(self) -> None:
        self.answers: dict[int, FailedUnit | None] = {}
        """By partition id; None for one that is not failed."""
        self._jobs: Mapping[int, JobStats] = {}
        self._doubted: set[int] = set()

    def note_jobs(self, failed: Mapping[int, JobStats]) -> None:
        """Take over the failed jobs as they are now, and forget what was found out for those that changed."""
        unchanged = (job for key, job in failed.items() if self._jobs.get(key) == job)
        kept = {partition for job in unchanged for partition in job.partitions}
        self.answers = {key: answer for key, answer in self.answers.items() if key in kept}
        self._jobs = failed

    def doubt(self) -> None:
        """Note that fewer partitions are failed than before: any of them may have been mended by a later job."""
        self._doubted = {key for key, answer in self.answers.items() if answer is not None}

    def due(self, wanted: int) -> Iterator[int]:
        """Yield the partitions to look up, as answers come in: the doubtful ones, and others until `wanted` are failed.

        Those of the newest job come first, the highest id first.
        """
        yield from sorted(self._doubted & self.answers.keys(), reverse=True)
        newest_first = (self._jobs[key].partitions for key in sorted(self._jobs, reverse=True))
        for partition_id in chain.from_iterable(newest_first):
            if partition_id not in self.answers:
                if len(self.failed()) >= wanted:
                    return
                yield partition_id

    def add(self, partition_id: int, answer: FailedUnit | None) -> None:
        """Take over what was found out."""
        self.answers[partition_id] = answer
        self._doubted.discard(partition_id)

    def failed(self) -> list[FailedUnit]:
        """Return the failed partitions that were found, the highest id first."""
        found = (self.answers[key] for key in sorted(self.answers, reverse=True))
        return [answer for answer in found if answer is not None]


@dataclass(frozen=True, slots=True)
class FailureState:
    """What is remembered of a source's failures; empty at first."""

    figures: FailuresStats | None = None
    kinds: Mapping[Kind, KindState] = field(default_factory=dict)
    lookups: Lookups = field(default_factory=Lookups)

    def doubted(self) -> Self:
        """Return the same figures, with nothing that would spare a list."""
        return replace(self, kinds={kind: known.doubted() for kind, known in self.kinds.items()})

    def renamed(self, name: SourceName) -> Self:
        """Return the same failures under the source's new name."""
        if self.figures is None or self.figures.name == name:
            return self
        return replace(self, figures=structs.replace(self.figures, name=name))

    def with_kinds(self, kinds: Mapping[Kind, KindState], name: SourceName) -> Self:
        """Return what is known now, as the same figures where they are equal."""
        if not kinds:
            return replace(self, kinds=kinds, figures=None)
        tables, partitions = (kinds[kind].failures if kind in kinds else None for kind in ("table", "partition"))
        figures = FailuresStats(name, tables, partitions)
        return replace(self, kinds=kinds, figures=self.figures if self.figures == figures else figures)
