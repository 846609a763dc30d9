"""Values of the chart that are odd: each does what it says, or is refused with the reason."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from exporter.config.loading import config_from
from exporter.web.security.web_config import web_config_from
from tests.deploy.helm import (
    CHART,
    KUBERNETES,
    VALUES,
    Refused,
    container,
    helm,
    manifests,
    rendered,
    secret_files,
    the,
    values_named,
    values_of_the_chart,
)
from tests.programs import ROOT

CONFIGS = ROOT / "tests" / "configs"
PLAIN = "plain-name"
"""A name that is a text wherever it stands."""


def scalars(name: str) -> list[yaml.ScalarNode]:
    """Return every value in the manifests of a release of this name, in a namespace of this name, in order."""
    named = ("fullnameOverride", "nameOverride", "serviceAccount.name", "configSecretName", "secretName")
    settings = [f"--set-string={key}={name}" for key in (*named, "web.tlsSecretName", "priorityClassName")]
    settings += ["--set=monitor.kind=PodMonitor,networkPolicy.enabled=true,shards=2", f"--kube-version={KUBERNETES}"]
    settings.append("--set=web.config.tls_server_config.cert=CERTIFICATE,web.config.tls_server_config.key=KEY")
    found: list[yaml.ScalarNode] = []
    pending: list[Any] = list(yaml.compose_all(helm("template", name, CHART, f"--namespace={name}", *settings)))
    while pending:
        node = pending.pop(0)
        if isinstance(node, yaml.ScalarNode):
            found.append(node)
        elif isinstance(node, yaml.MappingNode):
            pending = [part for pair in node.value for part in pair] + pending
        else:
            pending = node.value + pending
    return found


@pytest.mark.parametrize("odd", ["123", "1e3", "true", "null", "0x1f", "on"])
def test_a_name_that_looks_like_something_else_is_quoted_wherever_it_stands(odd: str) -> None:
    pairs = zip(scalars(PLAIN), scalars(odd), strict=True)
    placed = [there for plain, there in pairs if plain.value == PLAIN]
    assert len(placed) > 20
    assert {(each.value.removeprefix("mms-"), each.style) for each in placed} == {(odd, '"')}


def test_a_services_name_begins_with_a_letter_and_is_the_one_that_is_asked() -> None:
    found = manifests(values_named("odd_names"))
    (tester,) = the("Pod", found, "-test")["spec"]["containers"]
    assert the("Service", found)["metadata"]["name"] == the("StatefulSet", found)["spec"]["serviceName"] == "mms-1e3"
    assert tester["args"][-1] == "--web.listen-address=mms-1e3.monitoring:10180"


@pytest.mark.parametrize("values", VALUES, ids=lambda file: file.stem)
def test_no_key_is_given_twice(values: Path) -> None:
    pending: list[Any] = list(yaml.compose_all(rendered(f"--values={values}")))
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            assert len(keys) == len(set(keys)), keys
            pending += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            pending += node.value


def test_labels_that_the_chart_has_itself_stay_its_own() -> None:
    found = manifests(values_named("repeated_labels"))
    selector = the("Service", found)["spec"]["selector"].items()
    labels = the("Deployment", found)["spec"]["template"]["metadata"]["labels"]
    assert selector <= labels.items()
    assert selector <= the("Service", found)["metadata"]["labels"].items()
    assert labels["team"] == "data"


@pytest.mark.parametrize(
    ("settings", "scheme"),
    [
        ({}, "HTTP"),
        ({"min_version": "TLS13"}, "HTTP"),
        ({"cert_file": "", "key_file": "", "min_version": "TLS13"}, "HTTP"),
        ({"cert_file": "tls.crt", "key_file": "tls.key"}, "HTTPS"),
        ({"cert": "CERTIFICATE", "key": "KEY"}, "HTTPS"),
        ({"cert": "CERTIFICATE", "key_file": "tls.key"}, "HTTPS"),
    ],
)
def test_only_with_a_certificate_and_its_key_there_is_https(settings: dict[str, str], scheme: str) -> None:
    """As the exporter has it: the rest says what TLS would be like."""
    found = manifests(
        "--set=monitor.kind=ServiceMonitor", f"--set-json=web.config.tls_server_config={json.dumps(settings)}"
    )
    (endpoint,) = the("ServiceMonitor", found)["spec"]["endpoints"]
    assert container(found)["livenessProbe"]["httpGet"]["scheme"] == scheme
    assert endpoint["scheme"] == scheme.lower()
    assert web_config_from({"tls_server_config": settings}).tls_server_config.is_given is (scheme == "HTTPS")


@pytest.mark.parametrize("interval", ['"0"', "0", '""', '"0s"', '"0ms"', '"0h0.0m"', "null"])
def test_a_rate_limit_that_limits_nothing_turns_no_probe_away(interval: str) -> None:
    found = manifests(f'--set-json=web.config.rate_limit={{"interval": {interval}, "burst": 5}}')
    assert "httpGet" in container(found)["readinessProbe"]
    web = yaml.safe_load(secret_files(the("Secret", found, "-web"))["web.yaml"])
    assert interval == '""' or web_config_from(web).rate_limit.interval_seconds == 0


def test_the_test_may_ask_where_few_may_scrape() -> None:
    found = manifests(values_named("confined"))
    (rule,) = the("NetworkPolicy", found)["spec"]["ingress"]
    admitted = [each["podSelector"]["matchLabels"] for each in rule["from"] if "podSelector" in each]
    assert admitted == [the("Pod", found, "-test")["metadata"]["labels"]]


@pytest.mark.parametrize("name", ["confined", "access_key"])
def test_a_secret_of_the_users_is_read_anew_when_it_changes(name: str) -> None:
    """Helm sees no change of it, and so no new pods are made."""
    assert "--config.auto-reload" in container(manifests(values_named(name)))["args"]


def test_every_flag_that_the_chart_sets_is_refused_among_the_others() -> None:
    files = [values_named(each.stem) for each in VALUES]
    given = {word.partition("=")[0] for file in files for word in container(manifests(file))["args"]}
    for flag in given - {"--web.enable-lifecycle"}:  # which the values ask for
        with pytest.raises(Refused, match=re.escape(f"extraArgs: {flag} is set by the chart")):
            rendered(f"--set=extraArgs={{{flag}=x}}")


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("bogus=1", "additional properties 'bogus' not allowed"),
        ("monitor.kind=Monitor", "'/monitor/kind': value must be one of"),
        ("monitor.job=other", "'/monitor/job'"),
        ("shards=0", "'/shards': minimum: got 0, want 1"),
        ("config.accounts=null", "missing property 'accounts'"),
        ("rrsa.roleArn=acs:ram::1:role/x", "rrsa.roleArn requires rrsa.oidcProviderArn"),
        ("rrsa.roleName=x,rrsa.roleArn=acs:ram::1:role/x", "rrsa: set either roleName (with the webhook) or roleArn"),
        ("rrsa.roleName=x,serviceAccount.create=false", "rrsa.roleName: requires serviceAccount.create"),
        ("extraArgs={--web.listen-address=:80}", "extraArgs: --web.listen-address is set by the chart"),
        ("extraArgs={--web.telemetry-path=/m}", "extraArgs: --web.telemetry-path is set by the chart"),
        ("extraArgs={--shard.total=2}", "extraArgs: --shard.total is set by the chart; use shards"),
        (
            "extraEnv[0].name=MMS_EXPORTER_WEB_LISTEN_ADDRESS",
            "extraEnv: MMS_EXPORTER_WEB_LISTEN_ADDRESS is set by the chart",
        ),
        ("extraEnv[0].value=x", "missing property 'name'"),
        ("fullnameOverride=a.b", "'/fullnameOverride'"),
        ("podDisruptionBudget.maxUnavailable=some", "'/podDisruptionBudget/maxUnavailable'"),
        (f"nameOverride={59 * 'a'}", "'/nameOverride': maxLength: got 59, want 58"),
        ("extraEnv[0].name=A,extraEnv[0].value=1", "'/extraEnv/0/value': got number, want string"),
        ("config.refresh.intervall=1m", "'/config/refresh': additional properties 'intervall' not allowed"),
        ("config.refresh.interval=60", "'/config/refresh/interval': got number, want string"),
        ("config.refresh.interval=", "'/config/refresh/interval': minLength: got 0, want 1"),
        ("config.accounts[0].name=a", "'/config/accounts/0': missing property 'region'"),
        ("web.config.basic_auth_users.dave=dave123", "'/web/config/basic_auth_users/dave'"),
        ("web.tlsSecretName=tls", "web.tlsSecretName: requires web.config.tls_server_config"),
        (
            "web.config.tls_server_config.cert_file=/etc/mms-exporter/tls/tls.crt",
            "web.config.tls_server_config.cert_file: the file is in the Secret web.tlsSecretName",
        ),
        (
            "web.config.tls_server_config.cert_file=/etc/mms-exporter/secrets/tls.crt",
            "web.config: a file in /etc/mms-exporter/secrets",
        ),
        (
            "config.accounts[0].name=a,config.accounts[0].region=b,config.accounts[0].ca_file=/etc/mms-exporter/secrets/ca",
            ": config: a file in /etc/mms-exporter/secrets",
        ),
        ("config=null", "config: set either config or configSecretName; both are empty"),
        ("shards=2,replicas=2", "set either shards or replicas, not both"),
    ],
)
def test_values_that_cannot_be_used_are_refused(setting: str, complaint: str) -> None:
    with pytest.raises(Refused, match=re.escape(complaint)):
        rendered(f"--set={setting}")


def test_the_longest_name_leaves_room_for_that_of_the_test() -> None:
    (tester,) = [each for each in manifests(f"--set=nameOverride={58 * 'a'}") if each["kind"] == "Pod"]
    assert tester["metadata"]["labels"]["app.kubernetes.io/name"] == f"{58 * 'a'}-test"


def test_a_great_number_in_a_file_stays_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("shards: 1000000\nstartupSeconds: 1000000\n", encoding="utf-8")
    found = manifests(f"--values={tmp_path}/values.yaml")
    assert the("StatefulSet", found)["spec"]["replicas"] == 1000000
    assert container(found)["startupProbe"]["failureThreshold"] == (1000000 - 3) // 2
    assert container(found)["args"][-1] == "--shard.total=1000000"


def test_a_configuration_of_the_users_own_is_not_looked_into() -> None:
    """Where it stands in place of `config`, nobody reads that."""
    assert container(manifests(values_named("access_key"), "--set=configSecretName=mine,secretName="))
    assert container(manifests("--set=configSecretName=mine,config=null"))


def test_helm_takes_what_the_program_takes(tmp_path: Path) -> None:
    """All keys, with expressions of Python's that Go does not know."""
    config = yaml.safe_load((CONFIGS / "contract.yaml").read_text(encoding="utf-8"))
    config["accounts"][0]["sources"] = {"include": ["(?!test-).*"]}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    secret = the("Secret", manifests(f"--values={tmp_path}/values.yaml"), "-config")
    assert config_from(yaml.safe_load(secret_files(secret)["config.yaml"])).accounts


def test_the_schema_is_one_and_knows_the_values_of_the_chart() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values_of_the_chart(), schema)
    assert set(schema["properties"]) == {*values_of_the_chart(), "global", "enabled"}
