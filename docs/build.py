"""Writes the references in this folder from the code: `make docs`. A test fails when they differ."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import Metric

from docs.chart import values_readme
from docs.chart_schema import values_schema
from docs.configuration import configuration
from exporter.config_text import schema_text
from exporter.exposition.families import PARTS
from exporter.exposition.telemetry import Telemetry
from exporter.schema import attribute_docstrings, json_schema
from exporter.web import report
from exporter.web.web_config import WebConfig

FOLDER = Path(__file__).parent

METRICS_HEAD = """# Metrics

Every series of the exporter, made from the table they are served from. All values are gauges as of the last refresh
unless the type says otherwise. A field that the API leaves out gives no sample, never a 0; no sample carries a
timestamp. A status metric has one series for each known value, 0 or 1, and `UNKNOWN` for a value that is not known. A
label value longer than 512 characters is cut there and ends in `…`.
"""

TABLE_HEAD = ("| metric | type | labels | meaning |", "|---|---|---|---|")


def metrics() -> str:
    """Return docs/metrics.md."""
    lines = [METRICS_HEAD, "## From MMS", "", *TABLE_HEAD]
    for part in PARTS:
        lines += (_row(each.name, "gauge", part.labels_of(each), each.help) for each in part.families)
    lines += ["", "## The exporter itself", "", *TABLE_HEAD]
    for metric, labels in own_metrics():
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        lines.append(_row(name, metric.type, labels, metric.documentation))
    lines += ["", "Beside them stand the usual `process_*` and `python_*` of the process.", ""]
    return "\n".join(lines)


def _row(name: str, kind: str, labels: Sequence[str], meaning: str) -> str:
    shown = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {kind} | {shown} | {meaning} |"


def own_metrics() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """Yield the exporter's own families, each with its labels."""
    telemetry = Telemetry(with_process=False)
    for collector in telemetry.registry._collector_to_names:  # noqa: SLF001 - the one place with the labels
        labels = tuple(getattr(collector, "_labelnames", ()))
        for metric in collector.collect():
            yield metric, labels


def status_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what /api/v1/status answers."""
    schema = msgspec.json.schema(report.Report)
    for name, definition in schema["$defs"].items():
        for field, text in attribute_docstrings(getattr(report, name)).items():
            definition["properties"][field]["description"] = text.strip().replace("\n", " ")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Status of mms-exporter", **schema}


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def documents() -> dict[str, str]:
    """Return every generated document by its path from this folder."""
    return {
        "metrics.md": metrics(),
        "configuration.md": configuration(),
        "configuration.schema.json": schema_text(),
        "status.schema.json": _text(status_schema()),
        "web-config.schema.json": _text(json_schema(WebConfig, "Web configuration of mms-exporter")),
        "../deploy/helm/mms-exporter/README.md": values_readme(),
        "../deploy/helm/mms-exporter/values.schema.json": _text(values_schema()),
    }


if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
