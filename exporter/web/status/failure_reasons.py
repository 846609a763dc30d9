"""Why the newest failed tasks of a data source failed, for the report. Pure."""

from typing import Final

from exporter.collect.snapshot import SourceSnapshot
from exporter.mms.diagnosis.reason_rules import HINTS, Reason
from exporter.web.status.source_schema import ReasonEntry, ReasonsStatus

MAX_REASONS: Final = 3


def reasons_status(source: SourceSnapshot) -> ReasonsStatus | None:
    """Return the most frequent reasons; None if they are unknown or nothing is FAILED."""
    counts = source.reasons.reasons if source.reasons is not None else None
    if counts is None:
        return None
    most_frequent = sorted((-count, reason) for reason, count in counts.items() if count)
    listed = tuple(
        ReasonEntry(reason=reason, tasks=-count, hint=HINTS[Reason(reason)])
        for count, reason in most_frequent[:MAX_REASONS]
    )
    return ReasonsStatus(examined=sum(counts.values()), listed=listed, omitted=len(most_frequent) - len(listed))
