"""The words of the command line: each flag, its environment variable, its default, and what it may be.

One table, from which parsing and `--help` are made. Pure: the environment is a parameter.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from exporter import __version__
from exporter.errors import ConfigError, Problem
from exporter.logs import FORMATS, LEVELS
from exporter.shapes import seconds
from exporter.web.addresses import listen_address

MAX_FACTOR: Final = 1e6
ENVIRONMENT_PREFIX: Final = "MMS_EXPORTER_"

COMMANDS: Final = {
    "serve": "poll MMS and serve its metrics; this is what runs without a command",
    "once": "refresh once, print the metrics, and exit 1 if anything failed",
    "demo": "serve the metrics of a simulated migration: needs no account and no configuration",
    "simulate": "run the simulated MMS alone",
}


def one_of(*words: str) -> Callable[[str], str]:
    """Return what accepts `words` only."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return parse


def switch(text: str) -> bool:
    """Return whether a switch is on. Raises: ValueError."""
    if text.lower() not in ("true", "1", "false", "0"):
        raise ValueError("expected true or false")
    return text.lower() in ("true", "1")


def whole(text: str) -> int:
    """Return a whole number, from 0. Raises: ValueError."""
    if not text.isascii() or not text.isdigit():
        raise ValueError("expected a whole number")
    return int(text)


def factor(text: str) -> float:
    """Return a number above 0. Raises: ValueError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_FACTOR:
        raise ValueError(f"expected a number above 0, {MAX_FACTOR:g} at most")
    return value


def path(text: str) -> str:
    """Return a path on the web. Raises: ValueError."""
    if not text.startswith("/") or not text.isprintable() or set(text) & set("{}?# "):
        raise ValueError("expected a path such as /metrics")
    if text.startswith("/-/"):
        raise ValueError("expected a path that is not below /-/")
    return text


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag, without its dashes."""

    name: str
    help: str
    commands: tuple[str, ...]
    default: str | None = None
    parse: Callable[[str], Any] = str
    metavar: str = "TEXT"
    defaults: tuple[tuple[str, str], ...] = ()
    """Defaults of single commands that differ."""

    @property
    def is_switch(self) -> bool:
        """Whether it is on where it stands alone."""
        return self.parse is switch

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be given more than once."""
        return self.name == "web.listen-address"

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper().replace(".", "_").replace("-", "_")

    def default_for(self, command: str) -> str | None:
        """Return its default for one command."""
        return dict(self.defaults).get(command, self.default)


_READ: Final = ("serve", "once")
_WEB: Final = ("serve", "demo")
_SIMULATOR: Final = ("demo", "simulate")

FLAGS: Final = (
    Flag("config.file", "Configuration file (YAML).", _READ, metavar="FILE"),
    Flag("config.check", "Check the configuration and exit.", ("serve",), "false", switch),
    Flag("mms.region", "Region of the one account `default`, in place of a configuration file.", _READ),
    Flag("output", "Write to this file, as a whole, in place of standard output (-).", ("once",), metavar="FILE"),
    Flag(
        "web.listen-address",
        "Address to listen on: host:port or :port. Repeatable; commas between, in the variable. demo: loopback.",
        _WEB,
        ":10180",
        listen_address,
        "ADDRESS",
        (("demo", "127.0.0.1:10180"),),
    ),
    Flag("web.telemetry-path", "Path of the metrics.", _WEB, "/metrics", path, "PATH"),
    Flag(
        "web.config.file",
        "Configuration file for TLS and users; not served yet, so it is refused.",
        ("serve",),
        metavar="FILE",
    ),
    Flag("web.enable-lifecycle", "Offer /-/reload.", _WEB, "false", switch),
    Flag("simulator.listen-address", "Address of the simulated MMS.", _SIMULATOR, "127.0.0.1:10181", listen_address),
    Flag("simulator.seed", "Which story it tells: the same seed, the same story.", _SIMULATOR, "1", whole, "NUMBER"),
    Flag("simulator.speed", "How fast its time runs.", _SIMULATOR, "60", factor, "FACTOR"),
    Flag("simulator.sources", "How many data sources it has.", _SIMULATOR, "12", whole, "NUMBER"),
    Flag("simulator.latency", "How long it takes to answer.", _SIMULATOR, "0s", seconds, "DURATION"),
    Flag("log.level", f"One of {', '.join(LEVELS)}.", tuple(COMMANDS), "info", one_of(*LEVELS), "LEVEL"),
    Flag("log.format", f"One of {', '.join(FORMATS)}.", tuple(COMMANDS), "logfmt", one_of(*FORMATS), "FORMAT"),
)


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command line asks for."""

    command: str
    values: Mapping[str, Any]
    """By the name of the flag; None where it was not given and has no default."""


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Invocation:
    """Return what the command line and the environment ask for; a flag outweighs its variable.

    Raises: ConfigError with every value that cannot be used. Exits, as argparse does, on `--help`, `--version` and
    words that it does not know.
    """
    given = vars(_parser().parse_args(arguments))
    command = given.get("command") or "serve"
    strangers = (flag for flag in FLAGS if command not in flag.commands and flag.name in given)
    problems = [Problem(f"--{flag.name}", f"is not for {command}") for flag in strangers]
    own = (flag for flag in FLAGS if command in flag.commands)
    values = {flag.name: _value(flag, command, given, environment, problems) for flag in own}
    if problems:
        raise ConfigError(*problems)
    return Invocation(command, values)


def _value(
    flag: Flag,
    command: str,
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    problems: list[Problem],
) -> Any:  # noqa: ANN401 - as many types as there are flags
    where, raw = f"--{flag.name}", given.get(flag.name)
    if raw is None and environment.get(flag.variable):
        where, raw = flag.variable, environment[flag.variable]
    if raw is None:
        raw = flag.default_for(command)
    if raw is None:
        return None
    try:
        return [flag.parse(part.strip()) for part in _parts(raw)] if flag.is_repeatable else flag.parse(raw)
    except ValueError as error:
        problems.append(Problem(where, str(error)))
        return None


def _parts(raw: str | list[str]) -> list[str]:
    """Return what a repeatable flag holds; in a variable, commas stand between."""
    return raw if isinstance(raw, list) else raw.split(",")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mms-exporter",
        description="Prometheus exporter for the MaxCompute Migration Service (MMS) of Alibaba Cloud.",
        epilog="Every flag can also be given as an environment variable, as it is shown behind the flag. "
        "To see it work at once: mms-exporter demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mms-exporter {__version__}")
    for flag in FLAGS:
        _add_flag(parser, flag, "serve")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, summary in COMMANDS.items():
        each = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", allow_abbrev=False
        )
        for flag in FLAGS:
            if name in flag.commands:
                _add_flag(each, flag, name)
    return parser


def _add_flag(parser: argparse.ArgumentParser, flag: Flag, command: str) -> None:
    """Add a flag to the words of a command; one of another command's is known, for a clear answer, and not shown."""
    default = flag.default_for(command)
    text = f"{flag.help} {f'Default: {default}. ' if default and not flag.is_switch else ''}[{flag.variable}]"
    options: dict[str, Any] = {"dest": flag.name, "default": argparse.SUPPRESS}
    if flag.is_switch:
        options |= {"action": "store_const", "const": "true"}
    else:
        options |= {"action": "append" if flag.is_repeatable else "store", "metavar": flag.metavar}
    is_shown = command in flag.commands
    parser.add_argument(f"--{flag.name}", help=text if is_shown else argparse.SUPPRESS, **options)
