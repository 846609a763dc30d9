"""Deterministic randomness: each number depends on its keys only, so nothing is stored."""

from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

_MASK: Final = (1 << 64) - 1
_GAMMA: Final = 0x9E3779B97F4A7C15
_Item = TypeVar("_Item")


def draw(*keys: int) -> int:
    """Return 64 bits from `keys`: SplitMix64 folded over them."""
    state = 0
    for key in keys:
        state = (state + key + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def chance(*keys: int) -> float:
    """Return a number in [0, 1) from `keys`."""
    return (draw(*keys) >> 11) / (1 << 53)


def pick(items: Sequence[_Item], *keys: int) -> _Item:
    """Return one of `items`, chosen by `keys`."""
    return items[draw(*keys) % len(items)]


def seeded_rng(*keys: int) -> Random:
    """Return a generator seeded with `keys`."""
    return Random(draw(*keys))  # noqa: S311 - a story is drawn here, not a secret
