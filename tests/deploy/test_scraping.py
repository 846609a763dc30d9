"""The scrape configurations beside the rules: what Prometheus says of them, and that an agent's series arrive."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from tests.processes import ENDLESS, serving
from tests.programs import PROMTOOLS, ROOT, program, said
from tests.rules.loading import RULES
from tests.test_prometheus import query, until_prometheus_is_ready

FOLDER = ROOT / "deploy" / "prometheus"
CONFIGURATIONS = sorted(FOLDER.glob("*.yml"))
DISCOVERED = "field kubernetes_sd_configs not found"
"""What a promtool says that was built without Kubernetes, as Debian's is."""


@pytest.mark.parametrize("promtool", PROMTOOLS)
@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.stem)
def test_promtool_accepts_it_and_finds_every_rule_file(file: Path, promtool: str, tmp_path: Path) -> None:
    code, output = said(program(promtool), "check", "config", file)
    if DISCOVERED in output:
        stripped = yaml.safe_load(file.read_text(encoding="utf-8"))
        for job in stripped["scrape_configs"]:
            del job["kubernetes_sd_configs"]
        (tmp_path / "rules").symlink_to(FOLDER / "rules")
        (tmp_path / file.name).write_text(yaml.safe_dump(stripped), encoding="utf-8")
        code, output = said(program(promtool), "check", "config", tmp_path / file.name)
    assert code == 0, output
    assert ("rule files found" in output) is ("agent" not in file.stem)
    assert output.count("rules found") == (0 if "agent" in file.stem else len(RULES))


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.stem)
def test_the_job_has_the_name_that_the_rules_know(file: Path) -> None:
    jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["mms-exporter"]


def test_the_files_of_targets_are_where_the_configuration_looks() -> None:
    (job,) = yaml.safe_load((FOLDER / "file.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (pattern,) = job["file_sd_configs"][0]["files"]
    (file,) = FOLDER.glob(pattern)
    (group,) = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert group["targets"] == ["127.0.0.1:10180"]


def test_kubernetes_is_asked_for_the_pods_of_the_chart() -> None:
    (job,) = yaml.safe_load((FOLDER / "kubernetes.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (discovery,) = job["kubernetes_sd_configs"]
    (golden,) = [
        each
        for each in yaml.safe_load_all((ROOT / "tests/golden/helm/defaults.yaml").read_text(encoding="utf-8"))
        if each["kind"] == "Deployment"
    ]
    (container,) = golden["spec"]["template"]["spec"]["containers"]
    labels = golden["spec"]["template"]["metadata"]["labels"]
    assert discovery["selectors"] == [
        {"role": "pod", "label": f"app.kubernetes.io/name={labels['app.kubernetes.io/name']}"}
    ]
    assert job["relabel_configs"][0]["regex"] == container["ports"][0]["name"]


@asynccontextmanager
async def prometheus(path: str, folder: Path, name: str, config: str, *flags: str) -> AsyncIterator[str]:
    """Provide the URL of the Prometheus at `path` with a configuration."""
    file, printed = folder / f"{name}.yml", folder / f"{name}.log"
    file.write_text(config, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [f"--config.file={file}", f"--web.listen-address={address}", *flags]
    with printed.open("w") as log:
        process = await asyncio.create_subprocess_exec(path, *words, stdout=log, stderr=log)
        try:
            await until_prometheus_is_ready(f"http://{address}")
            yield f"http://{address}"
        finally:
            process.terminate()
            await process.wait()


@pytest.mark.parametrize(
    ("variable", "mode"),
    [("PROMETHEUS", "--enable-feature=agent"), pytest.param("PROMETHEUS3", "--agent", marks=pytest.mark.scale)],
)
async def test_what_an_agent_scrapes_arrives_in_the_store(variable: str, mode: str, tmp_path: Path) -> None:
    """The shipped configuration, with the targets of the test and a shorter interval."""
    path = program(variable)
    agent = (FOLDER / "agent.yml").read_text(encoding="utf-8").replace("scrape_interval: 30s", "scrape_interval: 1s")
    store_flags = ["--web.enable-remote-write-receiver", f"--storage.tsdb.path={tmp_path}/store"]
    agent_flags = [mode, f"--storage.agent.path={tmp_path}/agent"]
    async with (
        serving("demo", *ENDLESS, "--simulator.listen-address=127.0.0.1:0") as demo,
        prometheus(path, tmp_path, "store", "{}", *store_flags) as store,
    ):
        agent = agent.replace("127.0.0.1:10180", demo.urls[0].removeprefix("http://"))
        agent = agent.replace("https://metrics.example/api/v1/push", f"{store}/api/v1/write")
        async with prometheus(path, tmp_path, "agent", agent, *agent_flags), asyncio.timeout(60):
            while await query(store, 'mms_up{job="mms-exporter", cluster="production"}') != [1]:  # noqa: ASYNC110 - two processes away
                await asyncio.sleep(0.2)
