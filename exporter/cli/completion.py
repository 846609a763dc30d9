"""Completion scripts of bash, zsh and fish for the commands, their flags and the words these accept. Pure."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from exporter.cli.flags import Command, OneOf

_BASH: Final = r"""# Completion of mms-exporter for {shell}.
_mms_exporter() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} flag=${{COMP_WORDS[COMP_CWORD-1]}} command=serve words= i
    if [[ $word == "=" ]]; then word=; elif [[ $flag == "=" ]]; then flag=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${{COMP_WORDS[i]}}" in {names}) command=${{COMP_WORDS[i]}}; break ;; esac
    done
    case "$command $flag" in
{values}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _mms_exporter mms-exporter
"""
# `compinit` again would remove the completions that are registered already.
_ZSH_HEAD: Final = """\
(( $+functions[compdef] )) || { autoload -U +X compinit && compinit; }
autoload -U +X bashcompinit && bashcompinit
"""


def script(shell: str, commands: Mapping[str, Command]) -> str:
    """Return the completion script of a shell."""
    if shell == "fish":
        return "".join(f"complete -c mms-exporter {line}\n" for line in _fish_lines(commands))
    values = "\n".join(f"        {case}) words={shlex.quote(' '.join(words))} ;;" for case, words in _cases(commands))
    text = _BASH.format(shell=shell, names="|".join(commands), values=values)
    return f"{_ZSH_HEAD}{text}" if shell == "zsh" else text


def _words(parse: Callable[[str], Any]) -> tuple[str, ...]:
    return parse.words if isinstance(parse, OneOf) else ()


def _argument_words(command: Command) -> list[str]:
    return [word for each in command.arguments for word in _words(each.parse)]


def _cases(commands: Mapping[str, Command]) -> Iterator[tuple[str, list[str]]]:
    # The values of a flag, then the words of a command. A flag with other values completes files.
    for name, command in commands.items():
        for flag in command.flags:
            if not flag.is_switch:
                yield f'"{name} --{flag.name}"', list(_words(flag.parse))
        arguments = _argument_words(command)
        flags = [f"--{flag.name}" for flag in command.flags]
        yield f'"{name} "*', [*(commands if name == "serve" else arguments), *flags]


def _fish_lines(commands: Mapping[str, Command]) -> Iterator[str]:
    names = " ".join(commands)
    for name, command in commands.items():
        # The words of `config` and `completion` are names of commands, too.
        others = " ".join(each for each, other in commands.items() if name in _argument_words(other))
        is_used = f"__fish_seen_subcommand_from {name}"
        if others:
            is_used += f"; and not __fish_seen_subcommand_from {others}"
        is_used = f"not __fish_seen_subcommand_from {names}" if name == "serve" else is_used
        yield f"-f -n 'not __fish_seen_subcommand_from {names}' -a {name} -d {shlex.quote(command.description)}"
        if words := " ".join(_argument_words(command)):
            yield f"-f -n '{is_used}' -a {shlex.quote(words)}"
        for flag in command.flags:
            choices = _words(flag.parse)
            values = f"-x -a {shlex.quote(' '.join(choices))}" if choices else "-r"
            yield f"-n '{is_used}' -l {flag.name} -d {shlex.quote(flag.help)}{'' if flag.is_switch else f' {values}'}"
