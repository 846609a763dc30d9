"""The examples for Argo CD and Flux: they name the chart of this repository, and it accepts their values."""

import pytest
import yaml

from exporter import __version__
from exporter.config.loading import config_from
from tests.deploy.helm import CHART, GITOPS, as_words, manifests, secret_files, source_and_release, the
from tests.programs import ROOT


@pytest.mark.parametrize("name", GITOPS)
def test_an_example_names_the_chart_and_the_tag_of_this_version(name: str) -> None:
    source, _ = source_and_release(name)
    assert (ROOT / source["path"], source["tag"]) == (CHART, f"v{__version__}")


@pytest.mark.parametrize("name", GITOPS)
def test_the_chart_accepts_the_values_of_an_example(name: str) -> None:
    _, release = source_and_release(name)
    found = manifests(*as_words(release["values"]))
    (account,) = config_from(yaml.safe_load(secret_files(the("Secret", found))["config.yaml"])).accounts
    assert account.name == "prod-shanghai"
    assert {"Deployment", "ServiceMonitor", "PrometheusRule", "ConfigMap"} <= {each["kind"] for each in found}
