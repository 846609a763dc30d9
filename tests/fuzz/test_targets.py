"""The fuzzer's targets: on their corpus, and for some time each on what the fuzzer makes of it."""

import asyncio
import importlib.util
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS
from tests.programs import ROOT

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*/*"))


def test_every_target_has_a_corpus() -> None:
    assert {file.parent.name for file in CORPUS} == set(TARGETS)


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_the_corpus_finds_nothing(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="there is no atheris for this machine")
@pytest.mark.parametrize(
    ("target", "seconds"), [("answer", 1), *(pytest.param(target, 10, marks=pytest.mark.scale) for target in TARGETS)]
)
async def test_the_fuzzer_finds_nothing(target: str, seconds: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fuzz.run", target, str(seconds)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode(errors="replace")
    assert process.returncode == 0, said[-4000:]
    assert "Done " in said
