"""JSON Schema of the Helm values: handwritten, but with the generated schema of `config`.

Adapts patterns for Helm: regular expressions of Go have no lookahead or lookbehind.
"""

import json
from pathlib import Path
from typing import Any

from exporter.config.json_schema import json_schema

FILE = Path(__file__).parent.parent / "deploy" / "helm" / "mms-exporter" / "values.schema.json"
NOT_EMPTY = "(?=.)"


def values_schema() -> dict[str, Any]:
    """Return the schema of the chart with `config` regenerated."""
    schema: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    config = _for_go(json_schema())
    del config["$schema"], config["title"]
    config["properties"]["accounts"]["minItems"] = 1
    schema["properties"]["config"] = config
    return schema


def _for_go(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    # `format: regex` means the syntax of Go there, but the configuration has the syntax of Python.
    if isinstance(schema, list):
        return [_for_go(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    adapted = {key: _for_go(each) for key, each in schema.items() if key != "format"}
    if NOT_EMPTY in str(adapted.get("pattern", "")):
        adapted |= {"pattern": adapted["pattern"].replace(NOT_EMPTY, ""), "minLength": 1}
    return adapted
