"""Parser for the command line and the environment. Pure: the environment is a parameter."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from exporter import __version__
from exporter.cli.commands import COMMANDS, FLAGS
from exporter.cli.flags import Flag, Values
from exporter.errors import ConfigError, Problem
from exporter.mms.models.names import near_names

MAX_SHOWN_CHARACTERS: Final = 60
"""Characters of an invalid value that its error quotes."""
_AFTER_COMMAND: Final = "after the command: "
"""Prefix of destinations after the command: with one destination, argparse loses the values before it."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A parsed command line."""

    command: str
    values: Values


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Invocation:
    """Parse the command line; a flag overrides its environment variable.

    Raises: ConfigError with every invalid value; SystemExit for `--help`, `--version` and unknown arguments.
    """
    parsed = vars(_parser().parse_args(arguments))
    given = {flag.name: [*parsed.get(flag.name, ()), *parsed.get(_AFTER_COMMAND + flag.name, ())] for flag in FLAGS}
    command = COMMANDS[parsed["command"] or "serve"]
    own = {flag.name for flag in command.flags}
    problems = [
        Problem(f"--{name}", f"is not a flag of {command.name}")
        for name, texts in given.items()
        if texts and name not in own
    ]
    values = Values()
    for flag in command.flags:
        values[flag.name] = _flag_value(flag, given[flag.name], environment, values.origins, problems)
    for each in command.arguments:
        where = each.name if len(command.arguments) > 1 else command.name
        values[each.name] = next(iter(_values(each.parse, [parsed[each.name]], where, problems)), None)
    if problems:
        raise ConfigError(*problems)
    return Invocation(command.name, values)


def _flag_value(
    flag: Flag,
    texts: Sequence[str],
    environment: Mapping[str, str],
    origins: dict[str, str],
    problems: list[Problem],
) -> Any:  # noqa: ANN401 - the type depends on the flag
    where = f"--{flag.name}"
    if flag.parse is Path:  # an empty file name sets nothing, as an empty variable
        texts = list(filter(None, texts))
    if not texts and flag.variable and environment.get(flag.variable):
        where, text = flag.variable, environment[flag.variable]
        texts = [part.strip() for part in text.split(",")] if flag.is_repeatable else [text]
    origins[flag.name] = where
    if not texts and flag.default is not None:
        texts = [flag.default]
    values = _values(flag.parse, texts, where, problems)
    if flag.is_repeatable:
        return values
    if len(values) > 1:
        problems.append(Problem(where, f"was given {len(values)} times; give it once"))
    return values[0] if values else None


def _values(parse: Callable[[str], Any], texts: Sequence[str], where: str, problems: list[Problem]) -> list[Any]:
    values = []
    for text in texts:
        try:
            values.append(parse(_valid_unicode(text)))
        except ValueError as error:
            shown = f"{text[:MAX_SHOWN_CHARACTERS]}…" if len(text) > MAX_SHOWN_CHARACTERS else text
            problems.append(Problem(where, f"{error}, not {shown!r}"))
    return values


def _valid_unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("expected a text in UTF-8") from None
    return text


class _Parser(argparse.ArgumentParser):
    """A parser whose errors suggest the nearest command or flag."""

    def __init__(self, **settings: Any) -> None:  # those of argparse
        super().__init__(allow_abbrev=False, **settings)
        self.flags: list[str] = []
        self.commands: list[str] = []

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - those of argparse
        """Parse the arguments and report unknown ones."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            near = near_names(name, self.flags)
            advice = f"; did you mean {near[0]}?" if near else ""
            is_flag = name.startswith("-")
            self.error(f"unknown flag {name}{advice}" if is_flag else f"unexpected argument {unknown[0]!r}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Print error and help command, and exit."""
        if wrong := re.match(r"argument COMMAND: invalid choice: (['\"])(.*?)\1 \(", message):
            near = near_names(wrong[2], self.commands)
            advice = f"did you mean {near[0]}?" if near else f"commands: {', '.join(self.commands)}"
            message = f"unknown command {wrong[2]!r}; {advice}"
        self.exit(2, f"mms-exporter: {message}\nSee `{self.prog} --help`.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mms-exporter",
        description="Prometheus exporter for the MaxCompute Migration Service (MMS) of Alibaba Cloud.",
        epilog="The environment variable of a flag is shown in brackets; a flag overrides it. "
        "To try the exporter without an account: mms-exporter demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mms-exporter {__version__}")
    served = {flag.name: flag for flag in COMMANDS["serve"].flags}
    # Flags of other commands are accepted but hidden, so that the error can name the command.
    for name, flag in {**{flag.name: flag for flag in FLAGS}, **served}.items():
        _add_flag(parser, flag, is_shown=name in served)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in COMMANDS.values():
        text = command.description
        summary = f"{text[:1].lower()}{text[1:].rstrip('.')}"
        subparser = commands.add_parser(command.name, help=summary, description=text)
        parser.commands.append(command.name)
        for argument in command.arguments:
            subparser.add_argument(argument.name, metavar=argument.name.upper(), help=argument.help)
        for flag in command.flags:
            _add_flag(subparser, flag, _AFTER_COMMAND)
    return parser


def _add_flag(parser: _Parser, flag: Flag, prefix: str = "", *, is_shown: bool = True) -> None:
    text = f"{flag.help} {f'Default: {flag.default}. ' if flag.default and not flag.is_switch else ''}"
    text += f"[{flag.variable}]" if flag.variable else ""
    # Every value is collected, because argparse silently drops all but the last.
    options: dict[str, Any] = {"dest": prefix + flag.name, "default": argparse.SUPPRESS}
    if flag.is_switch:
        options |= {"action": "append_const", "const": "true"}
    else:
        options |= {"action": "append", "metavar": flag.metavar}
    if is_shown:
        parser.flags.append(f"--{flag.name}")
    parser.add_argument(f"--{flag.name}", help=text if is_shown else argparse.SUPPRESS, **options)
