"""The two complete examples of docs/alerting.md, and the receivers, in real servers."""

import asyncio
import json
import re
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, web

from tests.deploy.helm import manifests, the
from tests.deploy.notification_channels import listening
from tests.programs import ROOT, program, said
from tests.rules.loading import ALERTS, RULES, inhibit_rules
from tests.story.servers import reserved_port, until
from tests.story.time_scale import accelerated_rules, shorter, stretched

FOLDER = ROOT / "deploy" / "alertmanager"
PLAIN, STACK = FOLDER / "alertmanager.yml", FOLDER / "kube-prometheus-stack.yaml"
RECEIVERS = sorted(path for path in (FOLDER / "receivers").glob("*.yml") if "bridge" not in path.stem)
PAGE = (ROOT / "docs" / "alerting.md").read_text(encoding="utf-8")
GRAFANA = "https://grafana.example.com"
MESSAGE: dict[str, Any] = {
    "status": "firing",
    "receiver": "pages",
    "externalURL": "http://127.0.0.1:9093",
    "groupLabels": {"account": "prod", "source_id": "1"},
    "commonLabels": {"account": "prod", "source": "hive", "alertname": "MmsAgentOffline"},
    "commonAnnotations": {},
    "alerts": [
        {
            "status": status,
            "labels": {"alertname": "MmsAgentOffline", "account": "prod", "source": "hive"},
            "annotations": {
                "summary": f"The agent is {status}.",
                "description": "2 tables wait.",
                "runbook_url": "https://wiki/MmsAgentOffline.md",
                "dashboard_url": f"{GRAFANA}/d/mms-datasource",
            },
            "startsAt": "2026-01-02T03:04:05Z",
        }
        for status in ("firing", "resolved")
    ],
}
"""Data of a notification, as Alertmanager passes it to templates and webhooks."""


def stack() -> dict[str, Any]:
    """Return the Alertmanager values for kube-prometheus-stack."""
    values: dict[str, Any] = yaml.safe_load(STACK.read_text(encoding="utf-8"))["alertmanager"]
    return values


def with_receivers(path: Path) -> dict[str, Any]:
    """Return the shipped configuration with the receivers of a file."""
    config: dict[str, Any] = yaml.safe_load(PLAIN.read_text(encoding="utf-8"))
    return {**config, "receivers": yaml.safe_load(path.read_text(encoding="utf-8"))["receivers"]}


@pytest.mark.parametrize("path", RECEIVERS, ids=lambda path: path.stem)
def test_each_receiver_loads_in_amtool(path: Path, tmp_path: Path) -> None:
    config = with_receivers(path)
    assert {each["name"] for each in config["receivers"]} == {"pages", "tickets", "notes"}
    (tmp_path / "mms.tmpl").write_text((FOLDER / "mms.tmpl").read_text())
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
    code, printed = said(program("AMTOOL"), "check-config", tmp_path / "alertmanager.yml")
    assert code == 0, printed


@pytest.mark.parametrize("path", [PLAIN, *RECEIVERS], ids=lambda path: path.stem)
def test_the_page_names_each_receiver(path: Path) -> None:
    assert f"deploy/alertmanager/{path.relative_to(FOLDER)}" in PAGE


@pytest.mark.parametrize("path", RECEIVERS, ids=lambda path: path.stem)
async def test_each_receiver_sends_after_the_steps_of_the_page(path: Path, tmp_path: Path) -> None:
    """A template that no file defines passes amtool, and then no notification is sent."""
    config = with_receivers(path)
    config["route"]["group_wait"] = "50ms"
    rules_of_the_folder(tmp_path)
    file = tmp_path / "etc" / "prometheus" / "alertmanager.yml"
    severities, texts = ("critical", "warning", "info"), MESSAGE["alerts"][0]["annotations"]
    alerts = [{"labels": {"alertname": f"Mms{each}", "severity": each}, "annotations": texts} for each in severities]
    async with listening() as channels, ClientSession() as session:
        for receiver in config["receivers"]:
            channels.redirect(receiver)
        file.write_text(yaml.safe_dump(config))
        with reserved_port() as port:
            url = f"http://127.0.0.1:{port}"
            command = [program("ALERTMANAGER"), f"--config.file={file}", f"--storage.path={tmp_path}/manager"]
            command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
            async with running(url, *command):
                assert (await session.post(f"{url}/api/v2/alerts", json=alerts)).status == 200

                async def have_arrived() -> bool:
                    return len(channels.received) >= len(alerts)

                await until(have_arrived, f"{len(alerts)} notifications of {path.stem} arrive")
    for severity in severities:
        assert any(f"Mms{severity}" in each and "The agent is firing." in each for each in channels.received), severity


def render(name: str, tmp_path: Path) -> str:
    """Return a template of mms.tmpl filled with MESSAGE."""
    data = tmp_path / "data.json"
    data.write_text(json.dumps(MESSAGE))
    words = [f"--template.glob={FOLDER}/mms.tmpl", f'--template.text={{{{ template "{name}" . }}}}']
    code, printed = said(program("AMTOOL"), "template", "render", *words, f"--template.data={data}")
    assert code == 0, printed
    return printed


def test_texts_name_the_alert_the_next_step_and_both_links(tmp_path: Path) -> None:
    assert render("mms.title", tmp_path).strip() == "[FIRING 1] MMS prod hive: MmsAgentOffline"
    for name in ("mms.text", "mms.markdown"):
        text = render(name, tmp_path)
        for each in ("The agent is firing.", "2 tables wait.", "https://wiki/MmsAgentOffline.md", f"{GRAFANA}/d/"):
            assert text.count(each) == 1, name
        assert "[resolved] The agent is resolved." in text


def test_bridges_use_templates_and_fields_that_exist() -> None:
    bridge = yaml.safe_load((FOLDER / "receivers" / "dingtalk-bridge.yml").read_text())
    urls = [
        hook["url"]
        for each in with_receivers(FOLDER / "receivers" / "dingtalk.yml")["receivers"]
        for hook in each["webhook_configs"]
    ]
    assert {url.split("/")[-2] for url in urls} == bridge["targets"].keys()
    used = re.findall(r'template "([\w.]+)"', str(bridge))
    assert set(used) <= set(re.findall(r'define "([\w.]+)"', (FOLDER / "mms.tmpl").read_text()))
    feishu = (FOLDER / "receivers" / "feishu-bridge.tmpl").read_text()
    (alert, _) = MESSAGE["alerts"]
    fields = re.findall(r"\$v\.(\w+)(?:\.(\w+))?", feishu)
    assert fields
    for field, key in fields:
        assert field in alert
        assert not key or key in alert[field]


def test_the_stack_has_the_shipped_routes_inhibitions_and_texts() -> None:
    config, plain = stack()["config"], yaml.safe_load(PLAIN.read_text())
    assert config["inhibit_rules"] == inhibit_rules()
    assert stack()["templateFiles"]["mms.tmpl"].strip() == (FOLDER / "mms.tmpl").read_text().strip()
    (route,) = [each for each in config["route"]["routes"] if "Mms" in str(each["matchers"])]
    shipped = plain["route"]
    assert {key: route[key] for key in shipped if key != "routes"} == {
        key: shipped[key] for key in shipped if key != "routes"
    }
    waits = [
        {
            severity["matchers"][0]: severity["repeat_interval"]
            for severity in each["routes"]
            if "repeat_interval" in severity
        }
        for each in (route, shipped)
    ]
    assert waits[0] == waits[1]
    assert [each for each in config["receivers"] if each["name"] not in {"null", "default"}] == plain["receivers"]


@pytest.mark.parametrize("alert", ALERTS)
def test_the_stack_routes_each_alert_by_its_severity(alert: str, tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(stack()["config"]))
    severity = ALERTS[alert]["labels"]["severity"]
    command = ["config", "routes", "test", f"--config.file={tmp_path}/alertmanager.yml"]
    code, printed = said(program("AMTOOL"), *command, f"alertname={alert}", f"severity={severity}", "namespace=mms")
    expected = {"critical": "pages", "warning": "tickets", "info": "notes"}[severity]
    assert (code, printed.splitlines()[-1]) == (0, expected)


def example(begin: str) -> str:
    """Return the YAML of the page that begins so."""
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    (block,) = [found for each in blocks if (found := textwrap.dedent(each)).startswith(begin)]
    return block


def rules_of_the_stack(tmp_path: Path) -> list[str]:
    """Return the rule file that the operator makes of the chart with the values of the page."""
    values = tmp_path / "values.yaml"
    values.write_text(example("# mms-values.yaml"))
    found = manifests(f"--values={values}")
    labels = the("ServiceMonitor", found)["metadata"]["labels"], the("PrometheusRule", found)["metadata"]["labels"]
    assert {each["release"] for each in labels} == {"kube-prometheus-stack"}
    return [yaml.safe_dump(the("PrometheusRule", found)["spec"])]


def rules_of_the_folder(tmp_path: Path) -> list[str]:
    """Return the rule files after the first step of the page."""
    (step,) = [each for each in re.findall(r"^ *```sh\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE) if "cp -r" in each]
    # The packages of Debian have one folder for both programs.
    (tmp_path / "etc" / "prometheus").mkdir(parents=True)
    code, printed = said("sh", "-ec", step.replace("/etc/", f"{tmp_path}/etc/"))
    assert code == 0, printed
    assert (tmp_path / "etc" / "prometheus" / "alertmanager.yml").read_text() == PLAIN.read_text()
    return [(tmp_path / "etc" / "prometheus" / "rules" / path.name).read_text() for path in RULES]


@dataclass
class WebhookMessages:
    """Notifications by receiver."""

    url: str
    messages: list[tuple[str, dict[str, Any]]]


@asynccontextmanager
async def receiving() -> AsyncIterator[WebhookMessages]:
    """Provide a webhook on a free port."""
    received = WebhookMessages("", [])

    async def take(request: web.Request) -> web.Response:
        received.messages.append((request.match_info["receiver"], await request.json()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/{receiver}", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        received.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield received
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(url: str, *command: str) -> AsyncIterator[None]:
    """Run a server until it answers, then for the block."""
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)

    async def is_ready() -> bool:
        try:
            async with ClientSession() as session, session.get(f"{url}/-/ready") as response:
                return response.status == 200
        except OSError:
            return False

    try:
        await until(is_ready, f"{url} answers")
        yield
    finally:
        process.terminate()
        await process.wait()


def written(folder: Path, config: dict[str, Any], rules: list[str], webhook: str, alertmanager: int) -> None:
    """Write the configuration of both servers, accelerated, with the webhook as receiver."""
    text = yaml.safe_dump(config).replace("http://127.0.0.1:9095", webhook)
    for wait in re.findall(r"group_(?:wait|interval): .+", text):
        text = text.replace(wait, f"{wait.split(':')[0]}: {stretched(0.2)}")
    (folder / "alertmanager.yml").write_text(text.replace("/etc/alertmanager/config/*.tmpl", str(FOLDER / "mms.tmpl")))
    for number, each in enumerate(rules):
        (folder / f"mms-{number}.yaml").write_text(accelerated_rules(each))
    prometheus = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    prometheus["global"] = {"scrape_interval": shorter("30s"), "evaluation_interval": shorter("30s")}
    prometheus["global"]["scrape_timeout"] = shorter("30s")
    prometheus["rule_files"] = ["mms-*.yaml"]
    prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{alertmanager}"]
    prometheus["scrape_configs"][0]["static_configs"][0]["targets"] = ["127.0.0.1:1"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(prometheus))


@pytest.mark.parametrize(
    ("config", "rules"),
    [
        pytest.param(lambda: yaml.safe_load(PLAIN.read_text()), rules_of_the_folder, id="plain Prometheus"),
        pytest.param(lambda: stack()["config"], rules_of_the_stack, id="kube-prometheus-stack"),
    ],
)
async def test_an_absent_exporter_notifies_through_both_examples(config: Any, rules: Any, tmp_path: Path) -> None:  # noqa: ANN401 - functions
    with reserved_port() as prometheus, reserved_port() as alertmanager:
        async with receiving() as received:
            written(tmp_path, config(), rules(tmp_path), received.url, alertmanager)
            manager = [f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/manager"]
            manager += [f"--web.listen-address=127.0.0.1:{alertmanager}", "--cluster.listen-address="]
            watcher = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
            watcher += [f"--web.listen-address=127.0.0.1:{prometheus}"]
            async with (
                running(f"http://127.0.0.1:{alertmanager}", program("ALERTMANAGER"), *manager),
                running(f"http://127.0.0.1:{prometheus}", program("PROMETHEUS"), *watcher),
            ):

                async def is_notified() -> bool:
                    return bool(received.messages)

                await until(is_notified, "a notification arrives")
        receiver, message = received.messages[0]
        (alert,) = message["alerts"]
        assert (receiver, alert["labels"]["alertname"], alert["status"]) == ("pages", "MmsExporterAbsent", "firing")
        assert alert["annotations"]["dashboard_url"] == f"{GRAFANA}/d/mms-exporter"
        assert alert["annotations"]["runbook_url"].endswith("/docs/runbooks/MmsExporterAbsent.md")
        assert "Next: " in alert["annotations"]["description"]


def test_the_page_gives_a_reason_for_each_alert_and_its_severity() -> None:
    rows = re.findall(r"^\| (Mms\w+) \| (\w+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert {(name, severity) for name, severity, *_ in rows} == {
        (name, rule["labels"]["severity"]) for name, rule in ALERTS.items()
    }
    assert len(rows) == len(ALERTS)
