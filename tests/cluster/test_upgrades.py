"""Upgrades of one release: from each set of values to each other, and between numbers of shards."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise, permutations

import pytest

from tests.cluster.conftest import WORDS
from tests.cluster.control_plane import ControlPlane
from tests.deploy.helm import CHART, Manifest, manifests

pytestmark = pytest.mark.cluster

KINDS = (
    "deployments,statefulsets,services,secrets,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,"
    "servicemonitors,podmonitors,prometheusrules"
)
"""What the chart makes."""
INSTANCE = "app.kubernetes.io/instance"
SHARDS = (1, 2, 3, 1, 3, 2, 1)
"""A way from each number to each other."""

Identity = tuple[str, str, str]


def tour(stops: Sequence[str]) -> list[str]:
    """Return a round trip that goes from each stop to each other."""
    there = [each for i, stop in enumerate(stops) for other in reversed(stops[i + 1 :]) for each in (stop, other)]
    return [stop for previous, stop in pairwise(["", *there]) if stop != previous] + list(reversed(stops))[1:]


UPGRADES = list(pairwise(tour(list(WORDS))))


def identity(manifest: Manifest) -> Identity:
    """Return kind, namespace and name."""
    return manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"]


@cache
def expected(words: tuple[str, ...]) -> list[Identity]:
    """Return the objects of a release that have its label."""
    made = manifests("--no-hooks", *words)
    return sorted(identity(each) for each in made if INSTANCE in each["metadata"].get("labels", ()))


@dataclass
class Release:
    """A release, and the words it was last installed with."""

    plane: ControlPlane
    words: tuple[str, ...] = ()
    addresses: dict[Identity, str] = field(default_factory=dict)

    def install(self, *words: str) -> None:
        """Install or upgrade, unless the release has these values."""
        if self.words != words:
            command = ("upgrade", "--install", "release", CHART, "--namespace=monitoring", "--history-max=2")
            # Without it, Helm keeps the previous values if the new ones are empty.
            self.plane.helm(*command, "--reset-values", *words)
            self.words = words

    def check(self) -> None:
        """Assert that exactly the objects of these values are there, and that a Service keeps its address."""
        found = self.plane.objects(KINDS, "--all-namespaces", f"--selector={INSTANCE}=release")
        assert sorted(map(identity, found)) == expected(self.words)
        assert sum(each["kind"] in {"Deployment", "StatefulSet"} for each in found) == 1
        addresses = {identity(each): each["spec"]["clusterIP"] for each in found if each["kind"] == "Service"}
        assert {name: self.addresses.get(name, address) for name, address in addresses.items()} == addresses
        self.addresses = addresses


@pytest.fixture(scope="module")
def release(restricted: ControlPlane) -> Iterator[Release]:
    """Provide a release that is not installed yet."""
    yield Release(restricted)
    restricted.helm("uninstall", "release", "--namespace=monitoring", "--ignore-not-found")


def test_the_tour_has_each_upgrade_once() -> None:
    assert sorted(UPGRADES) == sorted(permutations(WORDS, 2))


@pytest.mark.parametrize(("before", "after"), UPGRADES)
def test_each_set_of_values_can_be_upgraded_to_each_other(
    release: Release, ran: Counter[str], before: str, after: str
) -> None:
    release.install(*WORDS[before])
    release.install(*WORDS[after])
    release.check()
    ran["upgrades"] += 1


def test_the_number_of_shards_can_be_changed(release: Release, ran: Counter[str]) -> None:
    for shards in SHARDS:
        release.install("--set=service.port=80", f"--set=shards={shards}")
        release.check()
    ran["changes of shards"] += len(SHARDS) - 1
