"""Parser for the command line and the environment. Pure: the environment is a parameter."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter import __version__
from exporter.cli.flags import COMMANDS, FLAGS, POSITIONALS, Flag, Positional
from exporter.errors import ConfigError, Problem

_AFTER_COMMAND: Final = "after the command: "
"""Prefix of destinations after the command: with one destination, argparse loses the values before it."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A parsed command line."""

    command: str
    values: Mapping[str, Any]
    """Values by name of the flag or argument; None if not given and without a default."""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Invocation:
    """Parse the command line; a flag overrides its environment variable.

    Raises: ConfigError with every invalid value; SystemExit for `--help`, `--version` and unknown arguments.
    """
    parsed = vars(_parser().parse_args(arguments))
    given = {flag.name: [*parsed.get(flag.name, ()), *parsed.get(_AFTER_COMMAND + flag.name, ())] for flag in FLAGS}
    command = parsed.get("command") or "serve"
    own = {flag.name: flag for flag in FLAGS if command in flag.commands}
    foreign = dict.fromkeys(flag.name for flag in FLAGS if flag.name not in own and given[flag.name])
    problems = [Problem(f"--{name}", f"is not a flag of {command}") for name in foreign]
    values = {name: _flag_value(flag, command, given, environment, problems) for name, flag in own.items()}
    positionals = [each for each in POSITIONALS if each.command == command]
    for each in positionals:
        where = each.name if len(positionals) > 1 else command
        values[each.name] = _positional_value(each, parsed[each.name], where, problems)
    if problems:
        raise ConfigError(*problems)
    return Invocation(command, values)


def _flag_value(
    flag: Flag,
    command: str,
    given: Mapping[str, list[str]],
    environment: Mapping[str, str],
    problems: list[Problem],
) -> Any:  # noqa: ANN401 - the type depends on the flag
    where, texts = f"--{flag.name}", given[flag.name]
    if not texts and flag.variable and environment.get(flag.variable):
        where, text = flag.variable, environment[flag.variable]
        texts = [part.strip() for part in text.split(",")] if flag.is_repeatable else [text]
    if not texts and (default := flag.default_for(command)) is not None:
        texts = [default]
    try:
        values = [flag.parse(_valid_unicode(text)) for text in texts]
    except ValueError as error:
        problems.append(Problem(where, str(error)))
        return None
    if flag.is_repeatable:
        return values
    if len(values) > 1:
        problems.append(Problem(where, f"was given {len(values)} times; give it once"))
    return values[0] if values else None


def _positional_value(positional: Positional, text: str, where: str, problems: list[Problem]) -> Any:  # noqa: ANN401 - the type depends on the argument
    try:
        return positional.parse(_valid_unicode(text))
    except ValueError as error:
        problems.append(Problem(where, str(error)))
        return None


def _valid_unicode(text: str) -> str:
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
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
        )
        for each in POSITIONALS:
            if each.command == name:
                command.add_argument(each.name, metavar=each.name.upper(), help=each.help)
        for flag in FLAGS:
            if name in flag.commands:
                _add_flag(command, flag, name, _AFTER_COMMAND)
    return parser


def _add_flag(parser: argparse.ArgumentParser, flag: Flag, command: str, prefix: str = "") -> None:
    # Flags of other commands are accepted but hidden, so that the error can name the command. Every value is
    # collected, because argparse silently drops all but the last.
    default = flag.default_for(command)
    text = f"{flag.help} {f'Default: {default}. ' if default and not flag.is_switch else ''}"
    text += f"[{flag.variable}]" if flag.variable else ""
    options: dict[str, Any] = {"dest": prefix + flag.name, "default": argparse.SUPPRESS}
    if flag.is_switch:
        options |= {"action": "append_const", "const": "true"}
    else:
        options |= {"action": "append", "metavar": flag.metavar}
    is_shown = command in flag.commands
    parser.add_argument(f"--{flag.name}", help=text if is_shown else argparse.SUPPRESS, **options)
