"""Generate the reference documents from the code: `make docs`. A test checks them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import Metric

from docs.chart import chart_files, values_readme
from docs.chart_schema import values_schema
from docs.configuration import configuration
from docs.label_values import label_values
from docs.queries import queries
from exporter.config.json_schema import attribute_docstrings, json_schema, schema_text
from exporter.exposition.families.metric_table import METRIC_GROUPS
from exporter.exposition.telemetry import Telemetry
from exporter.web.security.web_config import WebConfig
from exporter.web.status import source_schema
from exporter.web.status import status_schema as status_records

FOLDER = Path(__file__).parent

METRICS_HEAD = """# Metrics

All metrics of the exporter. Unless the type says otherwise, a metric is a gauge with the value of the last refresh. A
field that the API omits has no sample, never a 0. Samples have no timestamp. A status metric has one series for each
known value, 0 or 1, and `UNKNOWN` for an unknown value. A label value with more than 512 characters is truncated and
ends with `…`.

The recording rules compute [progress and throughput](../deploy/prometheus/README.md#series) and a
[forecast](forecast.md) of the time left from these metrics.
"""

FRESHNESS = """## Old or incomplete values

These queries return old or incomplete values. If all values are from the last refresh, they return nothing:

| problem | PromQL |
|---|---|
| The data source could not be read; its values are older. | `mms_datasource_refresh_success == 0` |
| A collector of the account failed. | `mms_refresh_success == 0` |
| The data sources could not be listed. | `mms_up == 0` |
| A list was incomplete in the last 5 minutes; rows may be missing. | see below |
| Some failures have no series. | `mms_failed_omitted > 0` |
| Some unfinished jobs have no series. | `mms_job_series_omitted > 0` |

`time() - mms_datasource_refresh_last_success_timestamp_seconds` is the age of the values in seconds.

A list is incomplete if the number of its rows differs from its `total`, or if `total` changes while the pages are read.
The received rows are exported. Each refresh reads the list again, and counts it again while it is incomplete. The
counter has the label `operation`, but no label for the data source. `increase()` does not detect the first incomplete
list, because the series starts with it; this query does:

```promql
mms_exporter_unexpected_values_total{field="total"}
  > (mms_exporter_unexpected_values_total{field="total"} offset 5m
     or 0 * mms_exporter_unexpected_values_total{field="total"})
```

Some values are older by design, by at most `jobs.idle_interval`: the jobs and tasks of an idle data source, whose row
did not change and which has no unfinished job. The names of failures, but not their number, can be up to 1 hour old if
one item recovered and another failed between two refreshes. Without a series `mms_jobs{status="UNKNOWN"}`, the number
of jobs with an unknown status is 0 or not known. [Collecting](design/collecting.md#what-success-promises) lists every
case.
"""

TABLE_HEAD = ("| metric | type | labels | meaning |", "|---|---|---|---|")


def metrics() -> str:
    """Return docs/metrics.md."""
    lines = [METRICS_HEAD, FRESHNESS, "## From MMS", "", *TABLE_HEAD]
    for part in METRIC_GROUPS:
        lines += (_row(each.name, "gauge", part.labels_of(each), each.help) for each in part.families)
    lines += ["", "## Metrics of the exporter", "", *TABLE_HEAD]
    for metric, labels in own_metrics():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        lines.append(_row(name, metric.type, labels, metric.documentation))
    lines += ["", "The exporter also has the standard `process_*` and `python_*` metrics."]
    lines += [*label_values(), *queries()]
    return "\n".join(lines)


def _row(name: str, kind: str, labels: Sequence[str], meaning: str) -> str:
    shown = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {kind} | {shown} | {meaning} |"


def own_metrics() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """Yield the metrics of the exporter, each with its labels."""
    telemetry = Telemetry(with_process=False)
    for collector in telemetry.registry._collector_to_names:  # noqa: SLF001 - no public API has the labels
        labels = tuple(getattr(collector, "_labelnames", ()))
        for metric in collector.collect():
            yield metric, labels


def status_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of /api/v1/status."""
    schema = msgspec.json.schema(status_records.StatusReport)
    for name, definition in schema["$defs"].items():
        for field, text in attribute_docstrings(
            getattr(source_schema, name, None) or getattr(status_records, name)
        ).items():
            definition["properties"][field]["description"] = text.strip().replace("\n", " ")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Status of mms-exporter", **schema}


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def documents() -> dict[str, str]:
    """Return all generated documents by path, relative to this folder."""
    return {
        "metrics.md": metrics(),
        "configuration.md": configuration(),
        "configuration.schema.json": schema_text(),
        "status.schema.json": _text(status_schema()),
        "web-config.schema.json": _text(json_schema(WebConfig, "Web configuration of mms-exporter")),
        "../deploy/helm/mms-exporter/README.md": values_readme(),
        "../deploy/helm/mms-exporter/values.schema.json": _text(values_schema()),
        **{f"../deploy/helm/mms-exporter/{path}": text for path, text in chart_files().items()},
    }


if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
