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

_INDENTATION: Final = "this does not fit the lines above; usually the indentation differs"
_QUOTE_TAG: Final = "no such tag is known; put a value that begins with ! in quotes"
_QUOTE_ALIAS: Final = "no such anchor is known; put a value that begins with * or & in quotes"
_BACKSLASH: Final = "this is no escape sequence; in double quotes, write each backslash twice, or use single quotes"
_MESSAGES: Final = {
    "expected <block end>": f"{_INDENTATION}, or text follows a closing quote or bracket",
    "mapping values are not allowed": (
        f"{_INDENTATION}, a colon above lacks its space, or a value with a colon lacks quotes"
    ),
    "could not find expected ':'": "expected a colon and a space after this key",
    "sequence entries are not allowed": "a list item cannot begin here; begin each item on a line of its own",
    "mapping keys are not allowed": "a value cannot begin with a question mark; put the value in quotes",
    "found character '\\t'": "tabs cannot indent YAML or begin a value; use spaces",
    "found character": "a value cannot begin with this character; put the value in quotes",
    "expected ','": "expected a comma or the closing bracket; usually a bracket or a quote before it is not closed",
    "expected the node content": "expected a value; usually a bracket or a comma before it is too many",
    "expected alphabetic or numeric": _QUOTE_ALIAS,
    "found undefined alias": _QUOTE_ALIAS,
    "could not determine a constructor": _QUOTE_TAG,
    "found undefined tag handle": _QUOTE_TAG,
    "'utf-8' codec": _QUOTE_TAG,
    "expected a mapping node": "expected a mapping after this tag",
    "found unhashable key": "a key cannot be a list or a mapping; put a value that begins with a bracket in quotes",
    "found unknown escape": _BACKSLASH,
    "expected escape sequence": _BACKSLASH,
    "expected chomping": "only a line break can follow | or >; put a value that begins with one of them in quotes",
    "but found another document": "expected a single document, but a second one begins here",
    "expected '<document start>'": "expected the end of the file; usually a line above begins with % or is ...",
    "second occurrence": "an anchor is defined twice",
    "special characters are not allowed": "YAML does not allow this control character",
}
"""Replacements by the start of a message of PyYAML, with the usual cause."""
_UNTRANSLATED: Final = (ValueError, LookupError, AttributeError, ArithmeticError)
"""Errors that PyYAML does not translate into its own."""


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
        mark, reason = _mark_and_reason(error)
        place = (mark.line + 1, mark.column + 1) if mark else None
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        place, reason = (len(before), len(before[-1]) + 1), _reason(error.reason)
    except RecursionError:
        place, reason = None, "lists or mappings are nested too deeply"
    except _UNTRANSLATED:
        place, reason = None, "an escape sequence is no Unicode character, or a value does not match its tag"
    where = f" at line {place[0]}, column {place[1]}" if place else ""
    raise ConfigError(Problem(str(path), f"is not valid YAML{where}: {reason}"))


def key_lines(path: Path) -> dict[str, int]:
    """Return the line of each key, such as `accounts[0].name`; empty without valid YAML."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, RecursionError, yaml.YAMLError, *_UNTRANSLATED):
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


def _mark_and_reason(error: yaml.MarkedYAMLError) -> tuple[yaml.Mark | None, str]:
    mark = error.problem_mark or error.context_mark
    if error.context == "while scanning a quoted scalar":  # PyYAML reports the end of the file
        return error.context_mark, "the quote that begins here is not closed"
    if error.context == "while scanning a simple key":  # PyYAML reports the next line
        mark = error.context_mark
    return mark, _reason(str(error.problem))


def _reason(message: str) -> str:
    for start, replacement in _MESSAGES.items():
        if message.startswith(start):
            return replacement
    return re.split(" but (?:found|got) |['\"]", message)[0].rstrip(" ,")  # what follows is content of the file


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
    # Rejects duplicate keys, of which PyYAML would use the last one, and reports invalid scalars with their place.

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - inherited
        try:
            return super().construct_object(node, deep)
        except _UNTRANSLATED:
            reason = "this is no valid value of its type, such as a date; put a text in quotes"
            raise yaml.constructor.ConstructorError(None, None, reason, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - inherited
        pairs = node.value if node.id == "mapping" else ()  # `!!map` and `!!set` can stand before a text
        keys = Counter(key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode))
        for key, _ in pairs:
            if isinstance(key, yaml.ScalarNode) and keys[key.value] > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {hide_unusual_key(key.value)}", key.start_mark
                )
        return super().construct_mapping(node, deep)
