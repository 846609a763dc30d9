"""A Dockerfile, read as far as this repository's needs it: stages, and what each instruction says."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines put together."""

    word: str
    rest: str


def stages(file: Path) -> list[list[Instruction]]:
    """Return the instructions of each stage, FROM first."""
    text = re.sub(r"^\s*#.*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line]
    found: list[list[Instruction]] = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:  # what stands before are arguments of the build
            found[-1].append(Instruction(word, rest))
    return found


def said(stage: list[Instruction], word: str) -> list[str]:
    """Return what the instructions of this word say."""
    return [each.rest for each in stage if each.word == word]
