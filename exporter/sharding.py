"""Which of several exporters reads which data source. Pure."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

_LCG: Final = 2862933555777941757
"""Of the generator that the jump hash draws from."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `total` exporters that share the data sources of one configuration: each source is read by exactly one."""

    index: int = 0
    """From 0."""
    total: int = 1

    def holds(self, account: str, source_id: int) -> bool:
        """Tell whether this exporter reads a data source.

        It depends on nothing that changes but `total`, and one more exporter takes over no more than its share.
        """
        return self.total == 1 or _bucket(account, source_id, self.total) == self.index


WHOLE: Final = Shard()
"""One exporter that reads them all."""


def _bucket(account: str, source_id: int, buckets: int) -> int:
    """Return a number from 0 below `buckets`. Source: Lamping and Veach, A Fast, Minimal Memory, Consistent Hash."""
    key = int.from_bytes(blake2b(f"{source_id} {account}".encode(), digest_size=8).digest(), "big")
    bucket, jump = 0, 0
    while jump < buckets:
        bucket = jump
        key = (key * _LCG + 1) % 2**64
        jump = int((bucket + 1) * (2**31 / ((key >> 33) + 1)))
    return bucket
