"""The two READMEs say the same: code, links and metric names are held equal; only the prose differs."""

import re
import textwrap
from collections import Counter
from collections.abc import Callable

import pytest

from tests.documented import FENCE
from tests.programs import ROOT

ENGLISH, CHINESE = ("README.md", "README.zh-CN.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in (ENGLISH, CHINESE)}


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Return language and content of each fenced block, in order."""
    return [(match[2], textwrap.dedent(match[3])) for match in FENCE.finditer(text)]


def links(text: str) -> Counter[str]:
    """Return the targets of links and images, other than the other README."""
    found = re.findall(r"\]\(([^)]+)\)|<(https?://[^>]+)>", text)
    return Counter(target or url for target, url in found if target not in TEXTS)


def inline_code(text: str) -> set[str]:
    """Return what stands in backquotes: metrics, commands, keys, files."""
    return set(re.findall(r"`([^`\n]+)`", FENCE.sub("", text)))


def metrics(text: str) -> Counter[str]:
    """Return how often each metric is named."""
    return Counter(re.findall(r"\bmms_[a-z_]+", text))


def outline(text: str) -> list[str]:
    """Return the level of each heading, in order."""
    return re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)


@pytest.mark.parametrize("part", [code_blocks, links, inline_code, metrics, outline])
def test_both_readmes_have_the_same(part: Callable[[str], object]) -> None:
    assert part(TEXTS[ENGLISH])
    assert part(TEXTS[ENGLISH]) == part(TEXTS[CHINESE])


@pytest.mark.parametrize(("name", "other"), [(ENGLISH, CHINESE), (CHINESE, ENGLISH)])
def test_each_readme_links_to_the_other_at_its_top(name: str, other: str) -> None:
    assert f"]({other})" in TEXTS[name].split("\n\n")[1]


def test_the_chinese_readme_is_in_chinese() -> None:
    """Every paragraph outside of code has Chinese characters."""
    paragraphs = FENCE.sub("", TEXTS[CHINESE]).split("\n\n")[1:]
    assert [text for text in paragraphs if text.strip() and not re.search(r"[\u4e00-\u9fff]", text)] == []
