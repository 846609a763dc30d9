"""The commands in the documents beside what they deploy: run where they can be, else read as far as can be.

`tests.documented` says which, and why.
"""

import asyncio
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from exporter.cli.arguments import parse
from tests.deploy.helm import CHART, KUBERNETES, rendered
from tests.deploy.test_compose import read_by_compose
from tests.documented import DEPLOYED, blocks, commands, place_of
from tests.programs import FETCHED, NAMES, ROOT, program
from tests.web.test_middleware import DAVE

COMMANDS = commands(*sorted((ROOT / "deploy").rglob("*.md")))
HELM = [command for command in COMMANDS if command.startswith(("helm install", "helm upgrade"))]
RUN = [command for command in COMMANDS if place_of(command) == DEPLOYED and command not in HELM]
README = CHART / "README.md"


def beginning(word: str) -> list[str]:
    """Return the commands that begin so."""
    return [command for command in COMMANDS if command.startswith(word)]


def done_by_shell(command: str, **variables: str) -> str:
    """Run a command as a reader would, and return what it printed."""
    environment = {**os.environ, "PATH": f"{FETCHED}:{os.environ['PATH']}", **variables}
    done = subprocess.run(  # noqa: S602 - the commands are the documents' own
        command, shell=True, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("command", RUN)
def test_a_command_does_what_the_document_says(command: str) -> None:
    word = command.split(maxsplit=1)[0]
    program(next(variable for variable, names in NAMES.items() if word in names))  # or skip, or fail
    done_by_shell(command)


@pytest.mark.parametrize("command", HELM)
async def test_helm_takes_the_command_up_to_the_cluster(command: str, cluster: str, tmp_path: Path) -> None:
    """As a dry run; what is upgraded was never installed there, and no schema is there, which other tests look at."""
    program("HELM")
    (tmp_path / "values.yaml").write_text(blocks(README, "yaml")[0], encoding="utf-8")
    words = command.replace("=values.yaml", f"={tmp_path}/values.yaml")
    also = f"--dry-run=client --disable-openapi-validation --kube-apiserver={cluster}"
    if "upgrade" in command:
        also += " --install"
    printed = await asyncio.to_thread(done_by_shell, f"{words} {also}", HELM_CACHE_HOME=str(tmp_path))
    (pushed,) = [each.removeprefix("docker push ") for each in beginning("docker push")]
    assert f'image: "{pushed}"' in printed


@pytest.mark.parametrize("command", [command for command in COMMANDS if "deploy/" in command])
def test_the_files_that_a_command_names_are_there(command: str) -> None:
    named = re.findall(r"(?<![\w/])deploy/[\w./-]+", command)
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("command", beginning("docker run"))
def test_the_image_is_told_what_the_program_knows(command: str) -> None:
    parse(command.partition(" mms-exporter ")[2].split(), {})


@pytest.mark.parametrize("command", beginning("docker build"))
def test_the_build_is_given_arguments_that_the_dockerfile_takes(command: str) -> None:
    known = set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {*re.findall(r"--build-arg=(\w+)", command)} <= known


@pytest.mark.parametrize("command", beginning("docker push"))
def test_what_is_pushed_was_built_before_under_that_name(command: str) -> None:
    assert f"docker build --tag {command.removeprefix('docker push ')} ." in beginning("docker build")


@pytest.mark.parametrize("command", [*beginning("docker compose"), *beginning("MMS_CONFIG=")])
def test_compose_reads_the_project_and_knows_the_service(command: str) -> None:
    words = shlex.split(command)
    variables = dict([words.pop(0).split("=", 1)]) if "=" in words[0] else {}
    services = read_by_compose(**variables)["services"]
    assert words[:4] == ["docker", "compose", "-f", "deploy/compose/compose.yaml"]
    assert [word for word in words[5:] if not word.startswith("--") and word not in services] == []


def test_the_secret_that_kubectl_makes_is_the_one_that_the_values_mount() -> None:
    (command,) = beginning("kubectl create")
    name, namespace, key = re.findall(r"secret generic (\S+) --namespace=(\S+) --from-file=(\S+)$", command)[0]
    secret = {"name": name, "namespace": namespace}
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": secret, "type": "Opaque", "data": {key: "c2VjcmV0"}}
    kubernetes_validate.validate(made, KUBERNETES, strict=True)
    (block,) = [block for block in blocks(README, "yaml") if "secretName: " in block and "accounts" in block]
    values: dict[str, Any] = yaml.safe_load(block)
    (account,) = values["config"]["accounts"]
    assert values["secretName"] == name
    assert account["credentials"]["access_key_secret_file"] == f"/etc/mms-exporter/secrets/{key}"


@pytest.mark.parametrize("command", [command for command in beginning("aliyun") if "Document" in command])
def test_a_document_that_is_handed_over_is_one(command: str) -> None:
    (file,) = re.findall(r'"\$\(cat (\S+)\)"', command)
    document = json.loads((ROOT / file).read_text(encoding="utf-8"))
    assert (document["Version"], bool(document["Statement"])) == ("1", True)


@pytest.mark.parametrize("kind", ["PolicyName", "RoleName", "UserName"])
def test_what_is_attached_was_made_before_under_that_name(kind: str) -> None:
    made: set[str] = set()
    used: set[str] = set()
    for command in beginning("aliyun"):
        names = re.findall(rf"--(?:Ram)?{kind} (\S+)", command)
        (made if f"Create{kind.removesuffix('Name')} " in command else used).update(names)
    assert made
    assert used <= made


@pytest.mark.parametrize("block", blocks(README, "yaml"))
def test_values_in_the_charts_readme_are_ones_that_it_takes(block: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(block.replace("BCRYPT-HASH", DAVE), encoding="utf-8")
    assert "kind: Deployment" in rendered(f"--values={tmp_path}/values.yaml")
