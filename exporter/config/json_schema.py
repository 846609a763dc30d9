"""JSON Schema of the configuration, generated from the records and their docstrings.

The schema covers single values. Only the loader checks rules between values, such as unique account names.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin
from zoneinfo import ZoneInfo

import msgspec

from exporter.config.loading import Config
from exporter.config.sections import (
    DURATION_PATTERN,
    Seconds,
    Secret,
    Section,
    TextFile,
    encode_hook,
    has_file_variant,
)

_SCALARS: Final[dict[Any, dict[str, Any]]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Seconds: {"type": "string", "pattern": DURATION_PATTERN},
    Secret: {"type": "string", "minLength": 1},
    TextFile: {"type": "string"},
    ZoneInfo: {"type": "string", "minLength": 1},
    re.Pattern[str]: {"type": "string", "format": "regex"},
    NoneType: {"type": "null"},
}
_BOUNDS: Final = {"ge": "minimum", "le": "maximum", "min_length": "minLength", "max_length": "maxLength"}


def json_schema(section: type[Section] = Config, title: str = "Configuration of mms-exporter") -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a configuration section."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **_section_schema(section)}


def schema_text() -> str:
    """Return the JSON Schema of the configuration file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _section_schema(section: type[Section]) -> dict[str, Any]:
    descriptions = attribute_docstrings(section)
    properties: dict[str, Any] = {}
    required: list[str] = []
    either: list[dict[str, Any]] = []
    if section.__struct_config__.tag_field:
        properties["type"] = {"const": section.__struct_config__.tag}
        required.append("type")
    for each in msgspec.structs.fields(section):
        described = {"description": descriptions[each.name]} if each.name in descriptions else {}
        properties[each.encode_name] = {**_type_schema(each.type), **described, **_default(each)}
        if has_file_variant(section, each):
            properties[f"{each.encode_name}_file"] = {
                "type": "string",
                "description": "Path of a file that contains the secret.",
            }
            either.append(_either(each.encode_name, f"{each.encode_name}_file", is_required=each.required))
        elif each.required:
            required.append(each.encode_name)
    schema: dict[str, Any] = {
        "type": "object",
        "description": inspect.getdoc(section),
        "properties": properties,
        "additionalProperties": False,
    }
    return {**schema, **({"required": required} if required else {}), **({"allOf": either} if either else {})}


def _either(name: str, file: str, *, is_required: bool) -> dict[str, Any]:
    if is_required:
        return {"oneOf": [{"required": [name]}, {"required": [file]}]}
    return {"not": {"required": [name, file]}}


def _type_schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any field's type
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if isinstance(kind, type) and issubclass(kind, Section):
        return _section_schema(kind)
    if isinstance(kind, UnionType):
        return {"anyOf": [_type_schema(each) for each in get_args(kind)]}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _type_schema(get_args(kind)[0])}
    if get_origin(kind) is dict:
        return {"type": "object", "additionalProperties": _type_schema(get_args(kind)[1])}
    return {**_type_schema(kind.__origin__), **_bounds(kind.__metadata__)}


def _bounds(metadata: tuple[msgspec.Meta, ...]) -> dict[str, Any]:
    limits = ((keyword, getattr(meta, bound)) for meta in metadata for bound, keyword in _BOUNDS.items())
    return {keyword: value for keyword, value in limits if value is not None}


def _default(each: msgspec.structs.FieldInfo) -> dict[str, Any]:
    if each.default in (msgspec.NODEFAULT, None):
        return {}
    return {"default": msgspec.to_builtins(each.default, enc_hook=encode_hook)}


@cache
def attribute_docstrings(record: type[msgspec.Struct]) -> dict[str, str]:
    """Return the docstrings of all fields, inherited ones included."""
    struct = msgspec.Struct
    kinds = (each for each in reversed(record.__mro__) if issubclass(each, struct) and each is not struct)
    return {name: text for kind in kinds for name, text in _own_docstrings(kind)}


def _own_docstrings(record: type) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            yield field.target.id, inspect.cleandoc(text.value.value)
