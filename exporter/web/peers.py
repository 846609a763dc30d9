"""An address -> who is behind it, as far as an address tells. Pure."""

import ipaddress
from typing import Final

NETWORK_BITS: Final = 64
"""Of an IPv6 address: whoever has one has all that begin so."""


def peer_of(address: str) -> str:
    """Return the one word for every address that a client can send from."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), NETWORK_BITS), strict=False))
