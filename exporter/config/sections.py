"""Parse a raw mapping into frozen msgspec records, and report every problem.

Generic: it does not know the keys of the configuration. Messages never quote values, which may be secrets. A field of
type Secret can be given as `<name>`, or as `<name>_file` with the path of a file that contains it.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Final, TypeVar, get_args, get_origin
from zoneinfo import ZoneInfo

import msgspec

from exporter.errors import Problem
from exporter.masking import HIDDEN

S = TypeVar("S", bound="Section")

_EXPECTED_DURATION: Final = "expected a duration such as 90s, 5m or 1h30m"
_TYPE_NAMES: Final = {
    "Expected": "expected",
    "array": "a list",
    "object": "a mapping",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
}
DURATION_PATTERN: Final = r"^(?=.)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$"
_DURATION: Final = re.compile(DURATION_PATTERN.replace("+", "{1,9}"), re.ASCII)
_DAY: Final = 86_400_000
_UNITS: Final = {"y": 365 * _DAY, "w": 7 * _DAY, "d": _DAY, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
"""Milliseconds per unit, as integers, so that equal durations compare equal."""


class Secret:
    """A text that never appears in logs, messages or pages."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return "Secret(...)"


class TextFile:
    """A file path with the content read from it."""

    __slots__ = ("path", "text")

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextFile) and (self.path, self.text) == (other.path, other.text)

    def __hash__(self) -> int:
        return hash((self.path, self.text))

    def __repr__(self) -> str:
        return f"TextFile({self.path!r})"


class Seconds(float):
    """A duration in Prometheus notation: `90s`, `5m`, `1h30m`."""

    __slots__ = ()


def duration_text(length: float) -> str:
    """Return a duration in Prometheus notation."""
    rest, parts = round(length * 1000), []
    for name in ("d", "h", "m", "s", "ms"):
        amount, rest = divmod(rest, _UNITS[name])
        parts += [f"{amount}{name}"] if amount else []
    return "".join(parts) or "0s"


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A section of the configuration."""

    compared_with: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """By field: other fields that its check reads. If one of them is broken, the field is not checked."""

    def validation_errors(self) -> Iterator[tuple[str, str]]:
        """Yield field and reason for each invalid value of valid type."""
        return iter(())


def seconds(text: str) -> Seconds:
    """Parse a duration. Raises: ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(_EXPECTED_DURATION)
    return Seconds(sum(int(amount) * _UNITS[unit] for amount, unit in re.findall(r"(\d+)([a-z]+)", text)) / 1000)


def parse_section(kind: type[S], raw: object, path: str, problems: list[Problem]) -> S | None:
    """Parse `raw` as a `kind`; None if it adds to `problems`."""
    if not isinstance(raw, Mapping):
        problems.append(Problem(path, f"expected a mapping, not {_type_name(raw)}"))
        return None
    prefix = f"{path}." if path else ""
    found: list[Problem] = []
    fields = msgspec.structs.fields(kind)
    _report_unknown_keys(kind, raw, prefix, found)
    values: dict[str, Any] = {}
    broken: set[str] = set()
    for each in fields:
        before = len(found)
        value = _field_value(kind, each, raw, prefix, found)
        if len(found) > before:
            broken.add(each.name)
        # A broken entry of a mapping hides no problem of another entry.
        if isinstance(value, dict) or (len(found) == before and value is not msgspec.UNSET):
            values[each.name] = value
    # The remaining fields are validated too, so that one broken field does not hide a problem in another.
    record = kind(**values, **dict.fromkeys(each.name for each in fields if each.required and each.name in broken))
    for name, reason in record.validation_errors():
        if broken.isdisjoint((name, *kind.compared_with.get(name.partition(".")[0], ()))):
            found.append(Problem(prefix + name, reason))
    problems += found
    return None if found else record


def _field_value(
    kind: type[Section],
    each: msgspec.structs.FieldInfo,
    raw: Mapping[Any, Any],
    prefix: str,
    problems: list[Problem],
) -> Any:  # noqa: ANN401 - any field's type
    name = each.encode_name
    if has_file_variant(kind, each) and f"{name}_file" in raw:
        return _secret_from_file(name, raw, prefix + name, problems)
    if name in raw:
        return _parse_value(each.type, raw[name], prefix + name, problems)
    if each.required:
        problems.append(Problem(prefix + name, "is required"))
    return msgspec.UNSET


def hide_unusual_key(key: object) -> str:
    """Return a key for a message, hidden unless a plain word."""
    # A key with other characters may be a secret in the wrong place.
    return str(key) if re.fullmatch(r"[A-Za-z_-]{1,40}", str(key)) else "(key hidden: not a plain word)"


def _report_unknown_keys(kind: type[Section], raw: Mapping[Any, Any], prefix: str, problems: list[Problem]) -> None:
    tag = kind.__struct_config__.tag_field
    known = [tag] if tag else []
    for each in msgspec.structs.fields(kind):
        known += [each.encode_name, f"{each.encode_name}_file"] if has_file_variant(kind, each) else [each.encode_name]
    for key in raw:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            advice = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
            problems.append(Problem(prefix + hide_unusual_key(key), f"unknown key; {advice}"))


def has_file_variant(section: type[Section], each: msgspec.structs.FieldInfo) -> bool:
    """Return whether `<name>_file` can replace this secret field."""
    return _without_none(each.type) is Secret and f"{each.name}_file" not in section.__struct_fields__


def _without_none(kind: object) -> object:
    kinds = [each for each in get_args(kind) if each is not NoneType] if isinstance(kind, UnionType) else [kind]
    return kinds[0] if len(kinds) == 1 else kind


def _secret_from_file(name: str, raw: Mapping[Any, Any], where: str, problems: list[Problem]) -> Secret | None:
    file = raw[f"{name}_file"]
    if name in raw:
        problems.append(Problem(where, f"expected either {name} or {name}_file, not both"))
    elif not isinstance(file, str):
        problems.append(Problem(f"{where}_file", f"expected a file path, not {_type_name(file)}"))
    else:
        try:
            text = _read_text(file).strip()
        except ValueError as error:
            problems.append(Problem(f"{where}_file", str(error)))
        else:
            if text:
                return Secret(text)
            problems.append(Problem(f"{where}_file", f"{_absolute(file)} is empty"))
    return None


def _read_text(file: str) -> str:
    # Raises ValueError with a message for the user.
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid UTF-8"
        raise ValueError(f"cannot read {_absolute(file)}: {reason}") from None


def _absolute(file: str) -> str:
    # Relative paths start at the working directory.
    try:
        return str(Path(file).absolute())
    except OSError:  # the working directory was removed
        return file


def _parse_value(kind: Any, raw: object, where: str, problems: list[Problem]) -> Any:  # noqa: ANN401 - any field's type
    if raw is not None and _is_section(_without_none(kind)):
        kind = _without_none(kind)
    if _is_section(kind):
        return parse_section(kind, raw, where, problems)
    if get_origin(kind) is tuple and isinstance(raw, list):
        return tuple(_parse_value(get_args(kind)[0], item, f"{where}[{i}]", problems) for i, item in enumerate(raw))
    if isinstance(kind, UnionType) and all(map(_is_section, get_args(kind))):
        return _parse_variant(kind, raw, where, problems)
    if get_origin(kind) is dict and isinstance(raw, Mapping):
        return _parse_mapping(get_args(kind)[1], raw, where, problems)
    try:
        return msgspec.convert(raw, kind, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        problems.append(_problem_from(error, where))
    except UnicodeEncodeError:
        problems.append(Problem(where, "expected valid Unicode without surrogates"))
    return None


def _parse_mapping(kind: Any, raw: Mapping[Any, Any], where: str, problems: list[Problem]) -> dict[str, Any]:  # noqa: ANN401 - any value's type
    # For a mapping with keys chosen by the user.
    wrong = [key for key in raw if not isinstance(key, str)]
    problems += (Problem(where, f"expected a text as key, not {_type_name(key)}; put it in quotes") for key in wrong)
    named = {key: value for key, value in raw.items() if isinstance(key, str)}
    parsed = {
        key: _parse_value(kind, value, f"{where}.{hide_unusual_key(key)}", problems) for key, value in named.items()
    }
    return {key: value for key, value in parsed.items() if value is not None}


def _parse_variant(kind: UnionType, raw: object, where: str, problems: list[Problem]) -> Any:  # noqa: ANN401 - a union's
    variants = {str(each.__struct_config__.tag): each for each in get_args(kind)}
    if not isinstance(raw, Mapping):
        problems.append(Problem(where, f"expected a mapping, not {_type_name(raw)}"))
        return None
    tag = raw.get("type")
    if not isinstance(tag, str) or tag not in variants:
        expected = "expected one of" if "type" in raw else "is required: one of"
        problems.append(Problem(f"{where}.type", f"{expected} {', '.join(variants)}"))
        return None
    return parse_section(variants[tag], raw, where, problems)


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def decode_hook(kind: type, raw: object) -> object:
    """Parse the types above for msgspec. Raises: ValueError."""
    if kind is Seconds and not isinstance(raw, str):
        unit = "; add a unit" if type(raw) in (int, float) else ""
        raise ValueError(f"{_EXPECTED_DURATION}, not {_type_name(raw)}{unit}")
    if not isinstance(raw, str):
        raise ValueError(f"expected a text, not {_type_name(raw)}")  # noqa: TRY004 - msgspec turns it into a problem
    if kind is Secret:
        if not raw:
            raise ValueError("is empty")
        if raw == HIDDEN:
            raise ValueError(f"expected the secret, not {HIDDEN}, which config show prints instead of it")
        return Secret(raw)
    if kind is Seconds:
        return seconds(raw)
    if kind is TextFile:
        return TextFile(raw, _read_text(raw))
    try:
        return ZoneInfo(raw) if kind is ZoneInfo else re.compile(raw)
    except re.error as error:
        raise ValueError(f"expected a regular expression: {error.msg} at position {error.pos}") from None
    except (KeyError, ValueError, OSError):
        raise ValueError("expected an IANA time zone, such as Asia/Shanghai") from None


def encode_hook(value: object) -> str:
    """Return a value of the types above as in YAML; a secret is hidden."""
    match value:
        case Seconds():
            return duration_text(value)
        case ZoneInfo():
            return value.key
        case re.Pattern():
            return str(value.pattern)
        case TextFile():
            return value.path
        case _:
            return HIDDEN


def _problem_from(error: msgspec.ValidationError, where: str) -> Problem:
    message, _, inner = str(error).replace(" | null", "").partition(" - at `$")
    message = re.sub(r"\w+", lambda word: _TYPE_NAMES.get(word[0], word[0]), message.replace("`", ""))
    return Problem(
        f"{where}{inner.rstrip('`')}", message.replace("whole number, got a number", "whole number, got a fraction")
    )


def _type_name(raw: object) -> str:
    names = {type(None): "an empty value", bool: "true or false", int: "a number", float: "a number", str: "a text"}
    return names.get(type(raw), "a list" if isinstance(raw, list) else "a mapping")
