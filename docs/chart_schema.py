"""The schema of the Helm chart's values: written by hand but for `config`, which is the configuration's own schema.

Knows what Helm lacks: Go's regular expressions look neither ahead nor behind.
"""

import json
from pathlib import Path
from typing import Any

from exporter.config.json_schema import json_schema

FILE = Path(__file__).parent.parent / "deploy" / "helm" / "mms-exporter" / "values.schema.json"
NOT_EMPTY = "(?=.)"


def values_schema() -> dict[str, Any]:
    """Return the schema as it stands in the chart, with what it says of `config` made anew."""
    schema: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    config = _for_go(json_schema())
    del config["$schema"], config["title"]
    config["properties"]["accounts"]["minItems"] = 1
    schema["properties"]["config"] = config
    return schema


def _for_go(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Return the schema with patterns that Go knows, and without `format`: Go's expressions are not Python's."""
    if isinstance(schema, list):
        return [_for_go(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _for_go(each) for key, each in schema.items() if key != "format"}
    if NOT_EMPTY in str(made.get("pattern", "")):
        made |= {"pattern": made["pattern"].replace(NOT_EMPTY, ""), "minLength": 1}
    return made
