"""Parses expositions like a scraper."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

Labels = frozenset[tuple[str, str]]

_SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Exposition:
    """Samples by name and labels."""

    samples: Mapping[str, Mapping[Labels, float]]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of the only sample with these labels, or None."""
        found = self.having(name, **labels)
        assert len(found) < 2, f"{name}{labels} matches {len(found)} samples, expected 1 at most"
        return next(iter(found.values()), None)

    def having(self, name: str, **labels: str) -> dict[Labels, float]:
        """Return the samples with these labels, by all their labels."""
        wanted = set(labels.items())
        return {each: value for each, value in self.samples.get(name, {}).items() if wanted <= each}

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Return the samples with `labels`, by the value of `label`."""
        return {dict(each)[label]: value for each, value in self.having(name, **labels).items()}


def read(page: bytes) -> Exposition:
    """Parse a page; fail on invalid lines and duplicate series."""
    samples: dict[str, dict[Labels, float]] = defaultdict(dict)
    for line in page.decode().split("\n"):
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line)
        assert match is not None, f"{line!r} is not a sample"
        labels = _labels(match["labels"] or "")
        assert labels not in samples[match["name"]], f"{line!r} is a duplicate"
        samples[match["name"]][labels] = float(match["value"])
    return Exposition(samples)


@lru_cache(maxsize=8192)  # successive pages of a test are nearly equal
def _labels(text: str) -> Labels:
    return frozenset((name, _unescaped(value)) for name, value in _LABEL.findall(text))


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], value) if "\\" in value else value
