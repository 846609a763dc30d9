"""Pages compressed piece by piece, so that only what changed is compressed again. Pure.

A piece is a run of deflate blocks that refers to nothing before it and ends on a byte: pieces one behind the other, in
any order, are one stream.
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
    """Return `plain` as a piece; the last one of a stream where `end` is Z_FINISH."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(plain) + deflate.flush(end)


@dataclass(frozen=True, slots=True)
class Deflated:
    """A page compressed, open at its end: what is appended later makes it one valid gzip member."""

    data: bytes = field(repr=False)
    crc: int
    size: int

    @classmethod
    def from_pieces(cls, compressed: Iterable[bytes], pieces: Sequence[bytes]) -> "Deflated":
        """Return the page that `pieces` are, of which `compressed` are the parts."""
        crc = reduce(lambda before, piece: zlib.crc32(piece, before), pieces, 0)
        return cls(b"".join(compressed), crc, sum(map(len, pieces)))

    def gzip_with(self, rest: bytes) -> tuple[bytes, ...]:
        """Return the gzip file of the page followed by `rest`, in pieces."""
        trailer = struct.pack("<LL", zlib.crc32(rest, self.crc), (self.size + len(rest)) & 0xFFFFFFFF)
        return _GZIP_HEADER, self.data, deflated(rest, zlib.Z_FINISH) + trailer
