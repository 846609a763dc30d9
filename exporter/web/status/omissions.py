"""What of a data source has no series of its own, the limit that causes it, and the command that lists it. Pure."""

from dataclasses import dataclass

from exporter.collect.snapshot import FailedUnits, SourceSnapshot
from exporter.web.status.formatting import with_noun


@dataclass(frozen=True, slots=True)
class Omission:
    """Objects of one kind without series of their own."""

    count: int
    noun: str
    remedy: str
    command: str
    """The command that lists them."""


def omissions(source: SourceSnapshot) -> list[Omission]:
    """Return what has no series of its own, by kind."""
    jobs, databases, failures = source.jobs, source.databases, source.failures
    found = []
    if databases is not None:
        omitted = databases.total - len(databases.databases)
        found.append(Omission(omitted, "database", "raise databases.max_per_source", "databases"))
    if jobs is not None:
        found.append(Omission(jobs.omitted, "job", "raise jobs.max_series_per_source", "jobs"))
    if failures is not None and failures.tables is not None:
        found.append(_omitted_failures(failures.tables, "failed table"))
    if failures is not None and failures.partitions is not None:
        found.append(_omitted_failures(failures.partitions, "failed partition"))
    return [each for each in found if each.count > 0]


def omissions_detail(source: SourceSnapshot) -> str:
    """Return what has no series, with the remedy of each kind."""
    return "; ".join(f"{with_noun(each.count, each.noun)}: {each.remedy}" for each in omissions(source))


def _omitted_failures(failed: FailedUnits, noun: str) -> Omission:
    omitted, remedy = failed.total - len(failed.newest), "raise failures.max_per_source"
    if failed.newest or noun == "failed table":
        return Omission(omitted, noun, remedy, "failed")
    # Without any name, the list may be denied: jobs show where the failures are.
    return Omission(omitted, noun, f"{remedy}, or grant ListMmsPartitions if MMS denies it", "jobs")
