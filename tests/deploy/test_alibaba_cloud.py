"""deploy/alibaba-cloud/README.md: its values are rendered, its rules checked, and each claim has a source."""

import re
from pathlib import Path

import kubernetes_validate
import yaml

from exporter.config.loading import load
from tests.deploy.helm import KUBERNETES, manifests, the
from tests.deploy.test_commands import done_by_shell
from tests.documented import ALIBABA_CLOUD, blocks, commands, place_of
from tests.programs import ROOT, program
from tests.rules.loading import RECORDS

PAGE = ROOT / "deploy" / "alibaba-cloud" / "README.md"
NAMESPACE, VALUES, ON_ECS = blocks(PAGE, "yaml")
COMMANDS = [command for command in commands(PAGE) if place_of(command) == ALIBABA_CLOUD]
VENDOR = re.compile(r"https://(?:www\.)?(?:alibabacloud\.com|help\.aliyun\.com)/\S+")


def test_the_commands_run_in_their_order(tmp_path: Path) -> None:
    for variable in ("HELM", "PROMTOOL"):
        program(variable)
    (tmp_path / "values.yaml").write_text(VALUES, encoding="utf-8")
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        done_by_shell(f"cd {tmp_path} && {command}")
    (rules,) = tmp_path.glob("RecordingRule.yaml")
    groups = yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]
    assert [group["name"] for group in groups] == ["mms-thresholds", "mms-recording"]
    assert {rule["record"] for group in groups for rule in group["rules"]} == set(RECORDS)


def test_the_values_make_what_the_page_says(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(VALUES, encoding="utf-8")
    found = manifests(f"--values={file}")
    annotations = the("ServiceAccount", found)["metadata"]["annotations"]
    assert annotations["pod-identity.alibabacloud.com/role-name"] == "mms-exporter"
    (endpoint,) = the("ServiceMonitor", found)["spec"]["endpoints"]
    assert {"action": "replace", "targetLabel": "job", "replacement": "mms-exporter"} in endpoint["relabelings"]


def test_the_namespace_is_one() -> None:
    kubernetes_validate.validate(yaml.safe_load(NAMESPACE), KUBERNETES, strict=True)


def test_the_exporter_accepts_the_configuration_on_ecs(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(ON_ECS, encoding="utf-8")
    assert load(file).accounts[0].name == "prod-shanghai"


def test_every_source_is_a_page_of_the_vendor() -> None:
    sources = re.findall(r"\[vendor\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert len(sources) > 10
    assert [source for source in sources if not VENDOR.fullmatch(source)] == []
