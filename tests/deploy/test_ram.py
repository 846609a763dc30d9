"""The policies and how to attach them: what the page says of the files is so."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.credential_types import EcsRamRole, OidcRoleArn
from exporter.config.loading import config_from
from exporter.errors import ConfigError
from tests.documented import blocks
from tests.programs import ROOT

FOLDER = ROOT / "deploy" / "ram"
PAGE = FOLDER / "README.md"
POLICIES = sorted(FOLDER.glob("*.json"))
TRUST = sorted((FOLDER / "trust").glob("*.json"))


def statements(text: str) -> list[dict[str, Any]]:
    """Return the statements of a policy."""
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


@pytest.mark.parametrize("policy", POLICIES, ids=lambda file: file.stem)
def test_the_page_names_a_policy_with_all_it_grants(policy: Path) -> None:
    (row,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"]({policy.name}) |" in line]
    granted = [action for each in statements(policy.read_text(encoding="utf-8")) for action in each["Action"]]
    assert re.findall(r"`(\w+)`", row.split("|")[3]) == [action.removeprefix("odps:") for action in granted]


@pytest.mark.parametrize("policy", TRUST, ids=lambda file: file.stem)
def test_a_trust_lets_one_kind_of_caller_assume_the_role(policy: Path) -> None:
    (statement,) = statements(policy.read_text(encoding="utf-8"))
    assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")
    assert len(statement["Principal"]) == 1


def test_the_trust_of_rrsa_is_for_the_service_account_of_the_chart() -> None:
    (statement,) = statements((FOLDER / "trust" / "rrsa.json").read_text(encoding="utf-8"))
    assert statement["Condition"]["StringEquals"]["oidc:sub"] == "system:serviceaccount:mms:mms-exporter"
    assert "helm install mms-exporter deploy/helm/mms-exporter --namespace=mms" in (
        ROOT / "deploy" / "helm" / "mms-exporter" / "README.md"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize(("role", "block"), [*zip((EcsRamRole, OidcRoleArn), blocks(PAGE, "yaml"), strict=False)])
def test_a_configuration_of_a_role_is_one_that_the_program_takes(role: type, block: str) -> None:
    assert isinstance(config_from(yaml.safe_load(block)).accounts[0].credentials, role)


def test_the_configuration_of_a_user_lacks_nothing_but_its_secret_file() -> None:
    with pytest.raises(ConfigError) as caught:
        config_from(yaml.safe_load(blocks(PAGE, "yaml")[-1]))
    assert [problem.path for problem in caught.value.problems] == ["accounts[0].credentials.access_key_secret_file"]
