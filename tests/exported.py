"""All exported metrics with their labels, for tests of dashboards and rules."""

from docs.build import own_metrics
from exporter.exposition.families.metric_table import METRIC_GROUPS

PROCESS_METRICS = ("process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes")
"""Process metrics that dashboards and rules use."""


def exported_metrics() -> dict[str, frozenset[str]]:
    """Return all sample names, with buckets, sums and counts, and their labels."""
    table = {family.name: frozenset(group.labels_of(family)) for group in METRIC_GROUPS for family in group.families}
    for metric, labels in own_metrics():
        if metric.type == "counter":
            table[f"{metric.name}_total"] = frozenset(labels)
        elif metric.type == "histogram":
            table |= {f"{metric.name}_{suffix}": frozenset(labels) for suffix in ("count", "sum")}
            table[f"{metric.name}_bucket"] = frozenset((*labels, "le"))
        else:
            table[metric.name] = frozenset(labels)
    return table | {name: frozenset() for name in PROCESS_METRICS}
