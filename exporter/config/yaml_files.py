"""Read and write YAML strictly. Does not know the configuration.

Messages never quote the content of a file, which may be secret.
"""

import re
from collections import Counter
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.config.sections import hide_unusual_key
from exporter.errors import ConfigError, Problem

_FOUND: Final = re.compile(", but (?:found|got) ")
"""Separates the expectation in a message of PyYAML from the content that it quotes."""
_MESSAGES: Final = {
    "found character '\\t'": "tabs cannot indent YAML or begin a value; use spaces",
    "found character": "a value cannot begin with this character; put the value in quotes",
    "expected ','": "expected a comma or the closing bracket; check for an unclosed quote before it",
    "but found another document": "expected a single document, but a second one begins here",
    "second occurrence": "an anchor is defined twice",
}
"""Replacements by the start of a PyYAML message that is incomplete without its quote."""


def read_yaml(path: Path) -> object:
    """Read a YAML file. Raises: ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
    except ValueError:
        raise ConfigError(Problem(str(path), "is not valid UTF-8")) from None
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark, reason = _position_and_reason(error)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(Problem(str(path), f"is not valid YAML{where}: {reason}")) from None
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError):  # the last two: value of a tag
        raise ConfigError(Problem(str(path), "is not valid YAML")) from None


def key_lines(path: Path) -> dict[str, int]:
    """Return the line of each key, such as `accounts[0].name`; empty without valid YAML."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    lines: dict[str, int] = {}
    pending, seen = [("", root)], set()
    while pending:
        place, node = pending.pop()
        if id(node) not in seen:  # aliases can repeat a node and create cycles
            seen.add(id(node))
            for name, mark, value in _inner_nodes(place, node):
                lines.setdefault(name, mark.line + 1)
                pending.append((name, value))
    return lines


def _inner_nodes(place: str, node: yaml.Node | None) -> Iterator[tuple[str, yaml.Mark, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        yield from ((f"{place}[{index}]", each.start_mark, each) for index, each in enumerate(node.value))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = hide_unusual_key(key.value if isinstance(key, yaml.ScalarNode) else None)
            yield f"{place}.{name}" if place else name, key.start_mark, value


def _position_and_reason(error: yaml.MarkedYAMLError) -> tuple[yaml.Mark | None, str]:
    mark = error.problem_mark or error.context_mark
    message = str(error.problem)
    if error.context == "while scanning a quoted scalar":  # PyYAML reports the end of the file
        return error.context_mark, "the quote that begins here is not closed"
    for start, replacement in _MESSAGES.items():
        if message.startswith(start):
            return mark, replacement
    if message.startswith(("expected ", "could not find expected ")):
        return mark, _FOUND.split(message)[0]
    return mark, message.partition("'")[0].partition('"')[0].strip()


def yaml_text(raw: object) -> str:
    """Return lists and mappings as YAML, in their order."""
    return str(yaml.dump(raw, Dumper=_FaithfulDumper, sort_keys=False, allow_unicode=True, width=120))


class _FaithfulDumper(yaml.SafeDumper):
    # Escapes Unicode line breaks. PyYAML writes these line breaks unescaped and reads them as spaces.

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Return the scalar of a text."""
        style = '"' if any(each in text for each in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_FaithfulDumper.add_representer(str, _FaithfulDumper.represent_text)


class _StrictLoader(yaml.SafeLoader):
    # Rejects duplicate keys; PyYAML would use the last one.

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - inherited
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and keys[key.value] > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {hide_unusual_key(key.value)}", key.start_mark
                )
        return super().construct_mapping(node, deep)
