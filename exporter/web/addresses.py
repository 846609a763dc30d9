"""Listen addresses. Pure, and light to import."""

import ipaddress
from dataclasses import dataclass
from typing import Final

LAST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and a port."""

    host: str | None
    """None for all addresses."""
    port: int
    """0 for any free port."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.host and ":" in self.host else f"{self.host or ''}:{self.port}"


def listen_address(text: str) -> ListenAddress:
    """Parse `host:port`, `:port` or `[v6]:port`. Raises: ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > LAST_PORT:
        raise ValueError("expected host:port or :port, such as :10180")
    if host.startswith("[") or host.endswith("]"):
        return ListenAddress(_ipv6(host), int(port))
    if ":" in host:
        raise ValueError("expected an IPv6 address in brackets, such as [::1]:10180")
    return ListenAddress(host or None, int(port))


def _ipv6(host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host[1:-1] if host.startswith("[") and host.endswith("]") else ""))
    except ValueError:
        raise ValueError("expected an IPv6 address in brackets, such as [::1]:10180") from None
