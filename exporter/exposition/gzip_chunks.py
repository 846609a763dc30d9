"""Compresses pages in chunks, so that only changed chunks are compressed again. Pure.

A chunk is a sequence of deflate blocks that ends on a byte boundary and has no back-reference to earlier chunks, so
chunks can be concatenated in any order.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final

_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LEVEL: Final = 5


def deflated(plain: bytes, end: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """Return `plain` as a chunk; Z_FINISH makes it the last one."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(plain) + deflate.flush(end)


@dataclass(frozen=True, slots=True)
class DeflatedPage:
    """A compressed page without trailer: `gzip_with` completes the gzip member."""

    data: bytes = field(repr=False)
    crc: int
    size: int

    @classmethod
    def from_chunks(cls, compressed: Iterable[bytes], plain: Sequence[bytes]) -> "DeflatedPage":
        """Join the chunks of a page, given compressed and plain."""
        crc = reduce(lambda previous, chunk: zlib.crc32(chunk, previous), plain, 0)
        return cls(b"".join(compressed), crc, sum(map(len, plain)))

    def gzip_with(self, rest: bytes) -> tuple[bytes, ...]:
        """Return the gzip file of the page followed by `rest`, in pieces."""
        trailer = struct.pack("<LL", zlib.crc32(rest, self.crc), (self.size + len(rest)) & 0xFFFFFFFF)
        return _GZIP_HEADER, self.data, deflated(rest, zlib.Z_FINISH) + trailer
