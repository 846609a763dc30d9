"""A certificate -> when it ends, which Python's ssl tells of others' certificates only. Pure.

Reads as little of DER as leads there, and checks nothing: OpenSSL has taken the certificate before.
"""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_LONG: Final = 0x80
"""Set in a length that is told by the bytes behind it, whose number the other bits are."""


def ends_at(pem: str) -> float | None:
    """Return when a certificate ends, in Unix seconds; None where that cannot be read.

    Source: RFC 5280, section 4.1.
    """
    try:
        (_, certificate), *_ = _elements(ssl.PEM_cert_to_DER_cert(pem))
        (_, to_be_signed), *_ = _elements(certificate)
        _, _, _, validity, *_ = (content for tag, content in _elements(to_be_signed) if tag != _VERSION)
        _, (tag, content) = _elements(validity)
        return _unix_seconds(tag, content.decode("ascii"))
    except (ValueError, IndexError):
        return None


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each element."""
    while der:
        tag, length, der = der[0], der[1], der[2:]
        if length & _LONG:
            count = length - _LONG
            length, der = int.from_bytes(der[:count]), der[count:]
        yield tag, der[:length]
        der = der[length:]


def _unix_seconds(tag: int, text: str) -> float:
    """Return a UTCTime, whose years have two digits, or a GeneralizedTime. Raises: ValueError."""
    century = ("19" if text >= "50" else "20") if tag == _UTC_TIME else ""
    return datetime.strptime(f"{century}{text}", "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
