"""A command line and an environment -> what is asked for. Pure: the environment is a parameter."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter import __version__
from exporter.errors import ConfigError, Problem
from exporter.flags import COMMANDS, FLAGS, WORDS, Flag, Word

_BEHIND: Final = "behind the command: "
"""Begins the place of what is given there: kept in one place, what is given before it would be lost."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command line asks for."""

    command: str
    values: Mapping[str, Any]
    """By the name of the flag or word; None where it was not given and has no default."""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Invocation:
    """Return what the command line and the environment ask for; a flag outweighs its variable.

    Raises: ConfigError with every value that cannot be used. Exits, as argparse does, on `--help`, `--version` and
    words that it does not know.
    """
    words = vars(_parser().parse_args(arguments))
    given = {flag.name: [*words.get(flag.name, ()), *words.get(_BEHIND + flag.name, ())] for flag in FLAGS}
    command = words.get("command") or "serve"
    own = {flag.name: flag for flag in FLAGS if command in flag.commands}
    strangers = dict.fromkeys(flag.name for flag in FLAGS if flag.name not in own and given[flag.name])
    problems = [Problem(f"--{name}", f"is not for {command}") for name in strangers]
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
        problems.append(Problem(where, f"is given {len(values)} times; give it once"))
    return values[0] if values else None


def _word(word: Word, text: str, where: str, problems: list[Problem]) -> Any:  # noqa: ANN401 - likewise
    try:
        return word.parse(_readable(text))
    except ValueError as error:
        problems.append(Problem(where, str(error)))
        return None


def _readable(text: str) -> str:
    """Return a text of whole characters, such as can be sent and printed. Raises: ValueError for any other."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("expected a text in UTF-8") from None
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mms-exporter",
        description="Prometheus exporter for the MaxCompute Migration Service (MMS) of Alibaba Cloud.",
        epilog="Flags can also be given as environment variables, as they are shown behind them. "
        "To see it work at once: mms-exporter demo",
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
    """Add a flag to the words of a command; one of another command's is known, for a clear answer, and not shown.

    All of them are gathered, also those that may be given only once: argparse would drop the first without a word.
    """
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
