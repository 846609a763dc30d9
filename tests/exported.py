"""Every metric that the exporter serves, with its labels: taken from the code, for what reads dashboards and rules."""

from docs.build import own_metrics
from exporter.exposition.families.metric_table import METRIC_GROUPS

OF_THE_PROCESS = ("process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes")
"""Of the series of the process, those that dashboards and rules use."""


def exported_metrics() -> dict[str, frozenset[str]]:
    """Return each metric as it is served, buckets and the like included, with its own labels."""
    table = {family.name: frozenset(part.labels_of(family)) for part in METRIC_GROUPS for family in part.families}
    for metric, labels in own_metrics():
        if metric.type == "counter":
            table[f"{metric.name}_total"] = frozenset(labels)
        elif metric.type == "histogram":
            table |= {f"{metric.name}_{part}": frozenset(labels) for part in ("count", "sum")}
            table[f"{metric.name}_bucket"] = frozenset((*labels, "le"))
        else:
            table[metric.name] = frozenset(labels)
    return table | {name: frozenset() for name in OF_THE_PROCESS}
