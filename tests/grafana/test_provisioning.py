"""Grafana reads the provisioning files as they are."""

from typing import Any

import yaml

from tests.grafana.checked_in import ROOT

PROVISIONING = ROOT / "grafana" / "provisioning"


def _read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PROVISIONING / name).read_text(encoding="utf-8"))
    return loaded


def test_the_data_source_is_the_prometheus_beside_it() -> None:
    content = _read("datasources/prometheus.yaml")
    (source,) = content["datasources"]
    assert content["apiVersion"] == 1
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"] is True


def test_the_dashboards_come_from_one_folder_and_are_not_edited_in_the_browser() -> None:
    content = _read("dashboards/mms.yaml")
    (provider,) = content["providers"]
    assert content["apiVersion"] == 1
    assert provider["type"] == "file"
    assert provider["folder"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    assert provider["allowUiUpdates"] is False
