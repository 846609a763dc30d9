"""Access keys that may call the simulated service, and their permissions. They can change at run time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Identity:
    """An access key; temporary if it has a security token."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    actions: frozenset[str] | None = None
    """Allowed RAM actions: `odps:ListMmsJobs`, or `odps:ListMmsJobs:2000001` for one source. None: all."""
    expires: float | None = None
    """Unix seconds of the wall clock after which the security token is rejected."""

    def may(self, operation: str, source_id: int | None) -> bool:
        """Return whether it may call an operation on a source."""
        action = f"odps:{operation}"
        return self.actions is None or not self.actions.isdisjoint({action, f"{action}:{source_id}"})


class Identities:
    """The known identities by access key id."""

    def __init__(self, known: Iterable[Identity] = ()) -> None:
        self._known = {identity.access_key_id: identity for identity in known}

    def __iter__(self) -> Iterator[Identity]:
        return iter(self._known.values())

    def find(self, access_key_id: str) -> Identity | None:
        """Return the identity with this access key id."""
        return self._known.get(access_key_id)

    def add(self, identity: Identity) -> None:
        """Add an identity, or replace the one with this key."""
        self._known[identity.access_key_id] = identity

    def remove(self, access_key_id: str) -> None:
        """Remove an identity, if it is known."""
        self._known.pop(access_key_id, None)

    def expire(self, access_key_id: str) -> None:
        """Expire the security token of an identity now."""
        self._known[access_key_id] = replace(self._known[access_key_id], expires=float("-inf"))
