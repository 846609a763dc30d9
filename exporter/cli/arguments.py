"""Parse a command line and an environment. Pure: the environment is a parameter."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter import __version__
from exporter.cli.flags import COMMANDS, FLAGS, WORDS, Flag, Positional
from exporter.errors import ConfigError, Problem

_BEHIND: Final = "behind the command: "
"""Prefix of the destinations after the command; with one destination, argparse would lose the earlier values."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A parsed command line."""

    command: str
    values: Mapping[str, Any]
    """By name of the flag or argument; None if it was not given and has no default."""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Invocation:
    """Parse the command line; a flag overrides its environment variable.

    Raises: ConfigError with every invalid value; SystemExit for `--help`, `--version` and unknown arguments.
    """
    words = vars(_parser().parse_args(arguments))
    given = {flag.name: [*words.get(flag.name, ()), *words.get(_BEHIND + flag.name, ())] for flag in FLAGS}
    command = words.get("command") or "serve"
    own = {flag.name: flag for flag in FLAGS if command in flag.commands}
    strangers = dict.fromkeys(flag.name for flag in FLAGS if flag.name not in own and given[flag.name])
    problems = [Problem(f"--{name}", f"is not a flag of {command}") for name in strangers]
    values = {name: _value(flag, command, given, environment, problems) for name, flag in own.items()}
    own_words = [word for word in WORDS if word.command == command]
    for word in own_words:
        where = word.name if len(own_words) > 1 else command
        values[word.name] = _word(word, words[word.name], where, problems)
    if problems:
        raise ConfigError(*problems)
    return Invocation(command, values)


def _value(
    flag: Flag,
    command: str,
    given: Mapping[str, list[str]],
    environment: Mapping[str, str],
    problems: list[Problem],
) -> Any:  # noqa: ANN401 - as many types as there are flags
    where, texts = f"--{flag.name}", given[flag.name]
    if not texts and flag.variable and environment.get(flag.variable):
        where, text = flag.variable, environment[flag.variable]
        texts = [part.strip() for part in text.split(",")] if flag.is_repeatable else [text]
    if not texts and (default := flag.default_for(command)) is not None:
        texts = [default]
    try:
        values = [flag.parse(_readable(text)) for text in texts]
    except ValueError as error:
        problems.append(Problem(where, str(error)))
        return None
    if flag.is_repeatable:
        return values
    if len(values) > 1:
        problems.append(Problem(where, f"was given {len(values)} times; give it once"))
    return values[0] if values else None


def _word(word: Positional, text: str, where: str, problems: list[Problem]) -> Any:  # noqa: ANN401 - likewise
    try:
        return word.parse(_readable(text))
    except ValueError as error:
        problems.append(Problem(where, str(error)))
        return None


def _readable(text: str) -> str:
    """Return the text if it is valid Unicode. Raises: ValueError."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("expected a text in UTF-8") from None
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mms-exporter",
        description="Prometheus exporter for the MaxCompute Migration Service (MMS) of Alibaba Cloud.",
        epilog="The environment variable of a flag is shown in brackets; a flag overrides it. "
        "To try the exporter without an account: mms-exporter demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mms-exporter {__version__}")
    for flag in {flag.name: flag for flag in FLAGS}.values():
        _add_flag(parser, flag, "serve")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, summary in COMMANDS.items():
        each = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
        )
        for word in WORDS:
            if word.command == name:
                each.add_argument(word.name, metavar=word.name.upper(), help=word.help)
        for flag in FLAGS:
            if name in flag.commands:
                _add_flag(each, flag, name, _BEHIND)
    return parser


def _add_flag(parser: argparse.ArgumentParser, flag: Flag, command: str, place: str = "") -> None:
    """Add a flag to the parser of a command."""
    # Flags of other commands are accepted but hidden, so that the error can name the command. Every value is
    # collected, because argparse silently drops all but the last.
    default = flag.default_for(command)
    text = f"{flag.help} {f'Default: {default}. ' if default and not flag.is_switch else ''}"
    text += f"[{flag.variable}]" if flag.variable else ""
    options: dict[str, Any] = {"dest": place + flag.name, "default": argparse.SUPPRESS}
    if flag.is_switch:
        options |= {"action": "append_const", "const": "true"}
    else:
        options |= {"action": "append", "metavar": flag.metavar}
    is_shown = command in flag.commands
    parser.add_argument(f"--{flag.name}", help=text if is_shown else argparse.SUPPRESS, **options)
