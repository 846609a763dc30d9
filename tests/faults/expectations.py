"""Effect of each fault on a response, series of each operation, and expected output. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from exporter.exposition.families.database_families import DATABASE, DATABASES
from exporter.exposition.families.metric_table import JOB, JOB_TASKS, JOBS, SOURCE, TASKS
from exporter.exposition.families.metric_types import MetricGroup
from exporter.exposition.families.table_families import PARTITION, TABLE
from exporter.simulator import Fault
from tests.faults.stage import FAULTY_SOURCE, Series

Effect = Literal["harmless", "fails", "loses", "lies"]
"""Unaffected; no response; rows missing; wrong content."""


@dataclass(frozen=True)
class FaultCase:
    """A fault and its effect on a response."""

    fault: Fault
    effect: Effect
    reason: str | None = None
    """Reason label of the error counter, if the response fails."""
    hides: int | None = None
    """The data source missing from a list because of the fault."""
    spares_objects: bool = False
    """Whether it affects pages only, so single objects are unaffected."""

    @property
    def is_slow(self) -> bool:
        """Whether it lasts until the timeout."""
        return self.reason == "timeout"


FAULT_CASES: Final = {
    "error": FaultCase(Fault(kind="error"), "fails", "server"),
    "throttle": FaultCase(Fault(kind="throttle"), "fails", "throttled"),
    "latency": FaultCase(Fault(kind="latency", seconds=0.002), "harmless"),
    "hang": FaultCase(Fault(kind="hang"), "fails", "timeout"),
    "reset": FaultCase(Fault(kind="reset"), "fails", "connection"),
    "reset_body": FaultCase(Fault(kind="reset_body"), "fails", "connection"),
    "drip": FaultCase(Fault(kind="drip", bytes_per_second=1), "fails", "timeout"),
    "truncated": FaultCase(Fault(kind="truncated"), "fails", "malformed"),
    "short_body": FaultCase(Fault(kind="short_body"), "fails", "connection"),
    "html": FaultCase(Fault(kind="html"), "fails", "malformed"),
    "empty": FaultCase(Fault(kind="empty"), "fails", "malformed"),
    "code_in_200": FaultCase(Fault(kind="code_in_200"), "fails", "server"),
    "nulls": FaultCase(Fault(kind="nulls"), "loses", "malformed"),
    "wrong_types": FaultCase(Fault(kind="wrong_types"), "loses", "malformed"),
    "missing": FaultCase(Fault(kind="missing"), "loses", "malformed"),
    "broken_rows": FaultCase(Fault(kind="broken_rows"), "loses", "malformed"),
    "unknown_status": FaultCase(Fault(kind="unknown_status"), "lies"),
    "endless": FaultCase(Fault(kind="endless"), "fails", "too_large"),
    "huge": FaultCase(Fault(kind="huge", size=33 * 1024 * 1024), "fails", "too_large"),
    "lost_row": FaultCase(Fault(kind="lost_row"), "lies", hides=FAULTY_SOURCE, spares_objects=True),
    "repeated_row": FaultCase(Fault(kind="repeated_row", row=1), "lies", hides=FAULTY_SOURCE + 1, spares_objects=True),
    "shift": FaultCase(Fault(kind="shift"), "harmless"),
    "total": FaultCase(Fault(kind="total", total=50), "lies", spares_objects=True),
    "page_cap": FaultCase(Fault(kind="page_cap"), "harmless"),
    "answer": FaultCase(Fault(kind="answer", text="[]"), "fails", "malformed"),
    "redirect": FaultCase(Fault(kind="redirect", url="http://127.0.0.1:9/"), "fails", "malformed"),
    "lost_answer": FaultCase(Fault(kind="lost_answer"), "fails", "connection"),
    "invalid_utf8": FaultCase(Fault(kind="invalid_utf8"), "lies"),
    "lone_surrogate": FaultCase(Fault(kind="lone_surrogate"), "lies"),
    "deep_nesting": FaultCase(Fault(kind="deep_nesting", size=100_000), "fails", "malformed"),
    "meanwhile": FaultCase(Fault(kind="meanwhile"), "harmless"),
}
"""One fault of each kind."""

GARBLED: Final = ("invalid_utf8", "lone_surrogate")
"""Their messages of tasks can be read but not always recognised; a log is not read again for that."""


def _names(*parts: MetricGroup[Any]) -> frozenset[str]:
    return frozenset(family.name for part in parts for family in part.families)


@dataclass(frozen=True)
class FaultTarget:
    """An operation and the series that depend on it."""

    operation: str
    collector: str
    families: frozenset[str]
    dependent: frozenset[str] = frozenset()
    """Families about objects listed by this operation, with values from another."""
    is_object: bool = False
    """Whether the response is one object and not a list."""
    needs_rows: bool = False
    """Whether a list without any readable row is an error."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the requests that fail, where another collector calls the operation too."""
    omitted: str | None = None
    """The `kind` label of its omitted failures."""

    @property
    def is_listing(self) -> bool:
        """Whether it is the list of data sources."""
        return self.operation == "ListMmsDataSources"

    def effect(self, case: FaultCase) -> Effect:
        """Return the effect of a fault on this operation's responses."""
        if self.is_object and case.spares_objects:
            return "harmless"
        return "fails" if case.effect == "loses" and self.is_object else case.effect

    def touches(self, series: Series) -> bool:
        """Return whether a series comes from the failing operation."""
        name, labels = series
        is_omitted = name == "mms_failed_omitted" and ("kind", self.omitted) in labels
        return (name in self.families or is_omitted) and self._is_faulty(series)

    def depends_on_objects(self, series: Series) -> bool:
        """Return whether a series needs objects of the failing operation."""
        return series[0] in self.dependent and self._is_faulty(series)

    def is_success_flag(self, series: Series) -> bool:
        """Return whether a series is the success flag of it."""
        return series[0] in _SUCCESS and self._is_about(series)

    def is_last_success(self, series: Series) -> bool:
        """Return whether a series is the last-success time of it."""
        return series[0] in _LAST_SUCCESS and self._is_about(series)

    def _is_faulty(self, series: Series) -> bool:
        return self.is_listing or ("source_id", str(FAULTY_SOURCE)) in series[1]

    def _is_about(self, series: Series) -> bool:
        name, labels = series
        if name == "mms_up":
            return self.is_listing
        if name.startswith("mms_refresh_"):
            return ("collector", self.collector) in labels
        return self._is_faulty(series) and self.collector != "watch"


_SUCCESS: Final = {"mms_up", "mms_refresh_success", "mms_datasource_refresh_success"}
_LAST_SUCCESS: Final = {
    *("mms_refresh_last_success_timestamp_seconds", "mms_datasource_refresh_last_success_timestamp_seconds"),
}

OUTDATED: Final = "mms_partitions_outdated"
"""Confirmed by the row of the data source."""

FAULT_TARGETS: Final = {
    place.operation: place
    for place in (
        FaultTarget(
            "ListMmsDataSources", "datasources", _names(SOURCE), dependent=frozenset({OUTDATED}), needs_rows=True
        ),
        FaultTarget("ListMmsJobs", "jobs", _names(JOBS, JOB), dependent=_names(JOB_TASKS)),
        FaultTarget("ListMmsDbs", "databases", _names(DATABASE, DATABASES), needs_rows=True),
        FaultTarget("ListMmsTasks", "tasks", _names(TASKS, JOB_TASKS)),
        FaultTarget("ListMmsTables", "failures", frozenset({"mms_failed_table_info"}), omitted="table"),
        FaultTarget(
            "ListMmsPartitions",
            "failures",
            frozenset({"mms_failed_partition_info"}),
            query={"status": '["FAILED"]'},
            omitted="partition",
        ),
        FaultTarget("GetMmsTable", "watch", _names(TABLE), is_object=True),
        FaultTarget("GetMmsPartition", "watch", _names(PARTITION), is_object=True),
    )
}
"""The operations of the serving process, but those of test_reason_faults.py and test_scan_faults.py."""


def served_while_failing(
    place: FaultTarget, healthy: dict[Series, float], before: dict[Series, float], *, is_kept: bool
) -> dict[Series, float]:
    """Return the expected samples while `place` fails.

    `healthy` has the samples without the fault, `before` those of the last successful read.
    """
    others = {key: value for key, value in healthy.items() if not place.touches(key)}
    others |= {key: 0.0 for key in healthy if place.is_success_flag(key)}
    others = {key: value for key, value in others.items() if not place.is_last_success(key)}
    others |= {key: value for key, value in before.items() if place.is_last_success(key)}
    if is_kept:
        return others | {key: value for key, value in before.items() if place.touches(key)}
    return {key: value for key, value in others.items() if not place.depends_on_objects(key)}
