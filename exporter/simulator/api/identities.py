"""Who may call the simulated service, and what for; it can change while the service runs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Identity:
    """An access key, temporary where it has a security token."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    actions: frozenset[str] | None = None
    """RAM actions it may do, as `odps:ListMmsJobs`, or `odps:ListMmsJobs:2000001` for one source; None: all."""
    expires: float | None = None
    """Unix seconds, in the time of the machine, after which its security token is refused."""

    def may(self, operation: str, source_id: int | None) -> bool:
        """Tell whether it is allowed to call an operation on a source."""
        action = f"odps:{operation}"
        return self.actions is None or not self.actions.isdisjoint({action, f"{action}:{source_id}"})


class Identities:
    """The identities known now, by access key id."""

    def __init__(self, known: Iterable[Identity] = ()) -> None:
        self._known = {identity.access_key_id: identity for identity in known}

    def __iter__(self) -> Iterator[Identity]:
        return iter(self._known.values())

    def find(self, access_key_id: str) -> Identity | None:
        """Return the identity with this access key id."""
        return self._known.get(access_key_id)

    def add(self, identity: Identity) -> None:
        """Make an identity known; it takes the place of one with the same access key id, as in a rotation."""
        self._known[identity.access_key_id] = identity

    def remove(self, access_key_id: str) -> None:
        """Forget an identity, if it is known."""
        self._known.pop(access_key_id, None)

    def expire(self, access_key_id: str) -> None:
        """Let the security token of an identity expire now."""
        self._known[access_key_id] = replace(self._known[access_key_id], expires=float("-inf"))
