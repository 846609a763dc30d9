"""A YAML file -> plain lists and mappings, read strictly, and back. Knows nothing of what is in it.

No message quotes what it read.
"""

import re
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from exporter.config.sections import shown_key
from exporter.errors import ConfigError, Problem

_FOUND: Final = re.compile(", but (?:found|got) ")
"""Parts what the library expected, in its own words, from what it found."""
_SENTENCES: Final = {
    "found character": "a value cannot begin with this character; put the value in quotes",
    "expected ','": "expected a comma or the closing bracket; check for an unclosed quote before it",
    "but found another document": "expected a single document, but a second one begins here",
    "second occurrence": "an anchor is defined twice",
}
"""By how the library's message begins, where cutting off what it quotes would leave half a sentence."""


def read_yaml(path: Path) -> object:
    """Return what is in a YAML file. Raises: ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
    except ValueError:
        raise ConfigError(Problem(str(path), "is not valid UTF-8")) from None
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark, fault = _fault(error)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(Problem(str(path), f"is not valid YAML{where}: {fault}")) from None
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError):  # the last two: a tag's value
        raise ConfigError(Problem(str(path), "is not valid YAML")) from None


def _fault(error: yaml.MarkedYAMLError) -> tuple[yaml.Mark | None, str]:
    """Return where a text is no YAML, and why, without what was found there, which may be a secret."""
    mark = error.problem_mark or error.context_mark
    said = str(error.problem)
    if error.context == "while scanning a quoted scalar":  # which is told from its end, far below
        return error.context_mark, "the quote that begins here is not closed"
    for beginning, sentence in _SENTENCES.items():
        if said.startswith(beginning):
            return mark, sentence
    if said.startswith(("expected ", "could not find expected ")):
        return mark, _FOUND.split(said)[0]
    return mark, said.partition("'")[0].partition('"')[0].strip()


def yaml_text(raw: object) -> str:
    """Return plain lists and mappings as YAML, in their order."""
    return str(yaml.dump(raw, Dumper=_FaithfulDumper, sort_keys=False, allow_unicode=True, width=120))


class _FaithfulDumper(yaml.SafeDumper):
    """Escapes Unicode's line breaks, which PyYAML writes as they are and reads back as spaces."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Return a text as a scalar that is read back as it was."""
        style = '"' if any(each in text for each in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_FaithfulDumper.add_representer(str, _FaithfulDumper.represent_text)


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and keys[key.value] > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {shown_key(key.value)}", key.start_mark
                )
        return super().construct_mapping(node, deep)
