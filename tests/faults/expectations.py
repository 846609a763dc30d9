"""What each kind of fault does to an answer, what each operation feeds, and what is served then. Pure."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from exporter.exposition.families.metric_table import JOB, JOBS, SOURCE
from exporter.exposition.families.metric_types import MetricGroup
from exporter.exposition.families.table_families import PARTITION, TABLE
from exporter.exposition.families.task_families import JOB_TASKS, TASKS
from exporter.simulator import Fault
from tests.faults.stage import AILING, Series

Effect = Literal["harmless", "fails", "loses", "lies"]
"""The answer is as good as any; there is none; rows of it are lost; what it says is not so."""


@dataclass(frozen=True)
class Ailment:
    """A fault, and what it does to an answer."""

    fault: Fault
    effect: Effect
    reason: str | None = None
    """What it is counted under, where the answer fails."""
    hides: int | None = None
    """The data source that a list of them lacks then."""
    spares_objects: bool = False
    """Whether it is about pages, which an answer with one object has none of."""

    @property
    def is_slow(self) -> bool:
        """Whether it is over when the timeout is."""
        return self.reason == "timeout"


AILMENTS: Final = {
    "error": Ailment(Fault(kind="error"), "fails", "server"),
    "throttle": Ailment(Fault(kind="throttle"), "fails", "throttled"),
    "latency": Ailment(Fault(kind="latency", seconds=0.002), "harmless"),
    "hang": Ailment(Fault(kind="hang"), "fails", "timeout"),
    "reset": Ailment(Fault(kind="reset"), "fails", "connection"),
    "reset_body": Ailment(Fault(kind="reset_body"), "fails", "connection"),
    "drip": Ailment(Fault(kind="drip", bytes_per_second=1), "fails", "timeout"),
    "truncated": Ailment(Fault(kind="truncated"), "fails", "malformed"),
    "short_body": Ailment(Fault(kind="short_body"), "fails", "connection"),
    "html": Ailment(Fault(kind="html"), "fails", "malformed"),
    "empty": Ailment(Fault(kind="empty"), "fails", "malformed"),
    "code_in_200": Ailment(Fault(kind="code_in_200"), "fails", "server"),
    "nulls": Ailment(Fault(kind="nulls"), "loses", "malformed"),
    "wrong_types": Ailment(Fault(kind="wrong_types"), "loses", "malformed"),
    "missing": Ailment(Fault(kind="missing"), "loses", "malformed"),
    "broken_rows": Ailment(Fault(kind="broken_rows"), "loses", "malformed"),
    "unknown_status": Ailment(Fault(kind="unknown_status"), "lies"),
    "endless": Ailment(Fault(kind="endless"), "fails", "too_large"),
    "huge": Ailment(Fault(kind="huge", size=33 * 1024 * 1024), "fails", "too_large"),
    "lost_row": Ailment(Fault(kind="lost_row"), "lies", hides=AILING, spares_objects=True),
    "repeated_row": Ailment(Fault(kind="repeated_row", row=1), "lies", hides=AILING + 1, spares_objects=True),
    "shift": Ailment(Fault(kind="shift"), "harmless"),
    "total": Ailment(Fault(kind="total", total=50), "lies", spares_objects=True),
    "page_cap": Ailment(Fault(kind="page_cap"), "harmless"),
    "answer": Ailment(Fault(kind="answer", text="[]"), "fails", "malformed"),
    "redirect": Ailment(Fault(kind="redirect", url="http://127.0.0.1:9/"), "fails", "malformed"),
    "lost_answer": Ailment(Fault(kind="lost_answer"), "fails", "connection"),
    "invalid_utf8": Ailment(Fault(kind="invalid_utf8"), "lies"),
    "lone_surrogate": Ailment(Fault(kind="lone_surrogate"), "lies"),
    "deep_nesting": Ailment(Fault(kind="deep_nesting", size=100_000), "fails", "malformed"),
    "meanwhile": Ailment(Fault(kind="meanwhile"), "harmless"),
}
"""Of each kind of fault, one."""


def _names(*parts: MetricGroup[Any]) -> frozenset[str]:
    return frozenset(family.name for part in parts for family in part.families)


@dataclass(frozen=True)
class Place:
    """An operation, and what comes of its answers."""

    operation: str
    collector: str
    families: frozenset[str]
    dependent: frozenset[str] = frozenset()
    """What is about things that only its answers tell of, though another operation reads it."""
    is_object: bool = False
    """Whether an answer is one object, and no list."""
    omitted: str | None = None
    """The kind of failures that are counted as omitted; it is a figure like the others."""

    @property
    def is_listing(self) -> bool:
        """Whether it lists the data sources, and is about all of them."""
        return self.operation == "ListMmsDataSources"

    def effect(self, health_error: Ailment) -> Effect:
        """Return what an ailment does to an answer here."""
        if self.is_object and health_error.spares_objects:
            return "harmless"
        return "fails" if health_error.effect == "loses" and self.is_object else health_error.effect

    def touches(self, series: Series) -> bool:
        """Tell whether a figure comes of what is ailing."""
        name, labels = series
        is_omitted = name == "mms_failed_omitted" and ("kind", self.omitted) in labels
        return (name in self.families or is_omitted) and self._is_ailing(series)

    def depends(self, series: Series) -> bool:
        """Tell whether a figure is about what only an ailing answer tells of."""
        return series[0] in self.dependent and self._is_ailing(series)

    def tells_success(self, series: Series) -> bool:
        """Tell whether a series says if what is ailing was read."""
        return series[0] in _SUCCESS and self._is_about(series)

    def tells_last_success(self, series: Series) -> bool:
        """Tell whether a series says when what is ailing was read."""
        return series[0] in _LAST_SUCCESS and self._is_about(series)

    def _is_ailing(self, series: Series) -> bool:
        return self.is_listing or ("source_id", str(AILING)) in series[1]

    def _is_about(self, series: Series) -> bool:
        name, labels = series
        if name == "mms_up":
            return self.is_listing
        if name.startswith("mms_refresh_"):
            return ("collector", self.collector) in labels
        return self._is_ailing(series) and self.collector != "watch"


_SUCCESS: Final = {"mms_up", "mms_refresh_success", "mms_datasource_refresh_success"}
_LAST_SUCCESS: Final = {
    *("mms_refresh_last_success_timestamp_seconds", "mms_datasource_refresh_last_success_timestamp_seconds"),
}

PLACES: Final = {
    place.operation: place
    for place in (
        Place("ListMmsDataSources", "datasources", _names(SOURCE)),
        Place("ListMmsJobs", "jobs", _names(JOBS, JOB), dependent=_names(JOB_TASKS)),
        Place("ListMmsTasks", "tasks", _names(TASKS, JOB_TASKS)),
        Place("ListMmsTables", "failures", frozenset({"mms_failed_table_info"}), omitted="table"),
        Place("ListMmsPartitions", "failures", frozenset({"mms_failed_partition_info"}), omitted="partition"),
        Place("GetMmsTable", "watch", _names(TABLE), is_object=True),
        Place("GetMmsPartition", "watch", _names(PARTITION), is_object=True),
    )
}
"""Every operation that the serving process calls."""


def served_while_failing(
    place: Place, healthy: dict[Series, float], before: dict[Series, float], *, is_kept: bool
) -> dict[Series, float]:
    """Return what is to be served while `place` fails, of what would be served now and what was served before."""
    others = {key: value for key, value in healthy.items() if not place.touches(key)}
    others |= {key: 0.0 for key in healthy if place.tells_success(key)}
    others = {key: value for key, value in others.items() if not place.tells_last_success(key)}
    others |= {key: value for key, value in before.items() if place.tells_last_success(key)}
    if is_kept:
        return others | {key: value for key, value in before.items() if place.touches(key)}
    return {key: value for key, value in others.items() if not place.depends(key)}
