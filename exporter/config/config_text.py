"""Output of `config show` and `config schema`: effective YAML without secrets, and JSON Schema."""

import json
import platform
import re
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from exporter import __version__
from exporter.config.json_schema import json_schema
from exporter.config.loading import Config
from exporter.config.sections import Seconds, Secret, Section, TextFile, duration_text
from exporter.config.yaml_files import yaml_text
from exporter.masking import HIDDEN


def effective_text(config: Config) -> str:
    """Return the effective configuration as YAML, with secrets hidden."""
    versions = f"mms-exporter {__version__}, Python {platform.python_version()}"
    return f"# {versions}: the configuration as it takes effect; secrets are hidden\n{yaml_text(_yaml_value(config))}"


def schema_text() -> str:
    """Return the JSON Schema of the configuration file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _yaml_value(value: Any) -> Any:  # noqa: ANN401, PLR0911 - one return per field type
    match value:
        case Section():
            return _section(value)
        case tuple():
            return [_yaml_value(each) for each in value]
        case Secret():
            return HIDDEN
        case Seconds():
            return duration_text(value)
        case ZoneInfo():
            return value.key
        case re.Pattern():
            return value.pattern
        case TextFile():
            return value.path
        case _:
            return value


def _section(section: Section) -> dict[str, Any]:
    # Keys without a value are left out.
    config = section.__struct_config__
    tag = {config.tag_field: config.tag} if config.tag_field else {}
    values = {each.encode_name: getattr(section, each.name) for each in msgspec.structs.fields(section)}
    return {**tag, **{name: _yaml_value(value) for name, value in values.items() if value is not None}}
