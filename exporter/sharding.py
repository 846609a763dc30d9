"""Assigns data sources to shards. Pure."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

_LCG_MULTIPLIER: Final = 2862933555777941757
"""Of the linear congruential generator in the jump hash."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `total` exporters that share the data sources of a configuration."""

    index: int = 0
    """From 0."""
    total: int = 1

    def owns(self, account: str, source_id: int) -> bool:
        """Return whether this shard reads a data source."""
        # Consistent hashing: an additional shard only takes over its own share of the sources.
        return self.total == 1 or _bucket(account, source_id, self.total) == self.index


UNSHARDED: Final = Shard()
"""A single exporter, which reads all data sources."""


def _bucket(account: str, source_id: int, buckets: int) -> int:
    """Return a bucket from 0 below `buckets`.

    Source: Lamping and Veach, A Fast, Minimal Memory, Consistent Hash Algorithm.
    """
    key = int.from_bytes(blake2b(f"{source_id} {account}".encode(), digest_size=8).digest(), "big")
    bucket, jump = 0, 0
    while jump < buckets:
        bucket = jump
        key = (key * _LCG_MULTIPLIER + 1) % 2**64
        jump = int((bucket + 1) * (2**31 / ((key >> 33) + 1)))
    return bucket
