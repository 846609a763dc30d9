"""The image, without an engine: its build steps run as they are written, and the result runs as it will."""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.deploy.dockerfile import Instruction, said, stages
from tests.deploy.once import made_once
from tests.programs import INSTALLED, ROOT, program
from tests.programs import said as printed

DOCKERFILE = ROOT / "Dockerfile"
BUILD, RESULT = stages(DOCKERFILE)
IN_BUILD, IN_IMAGE = (Path(__file__).parent / name for name in ("in_build.sh", "in_image.sh"))
PYTHON = Path(sys.base_prefix)
MEBIBYTE = 1024 * 1024
of_the_built_image = pytest.mark.scale
"""The build takes 25 s of processor time."""


def test_hadolint_has_nothing_to_say() -> None:
    assert printed(program("HADOLINT"), DOCKERFILE) == (0, "")


def test_both_stages_are_of_one_pinned_image_that_a_digest_can_be_added_to() -> None:
    assert said(BUILD, "FROM") == ["${PYTHON_IMAGE} AS build"]
    assert said(RESULT, "FROM") == ["${PYTHON_IMAGE}"]
    (image,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", image)


def test_no_shell_is_needed_to_start_or_to_check_it() -> None:
    (entry,), (check,) = said(RESULT, "ENTRYPOINT"), said(RESULT, "HEALTHCHECK")
    assert json.loads(entry) == ["mms-exporter"]
    assert json.loads(check.partition("CMD ")[2]) == ["mms-exporter", "probe"]
    assert said(RESULT, "RUN") == []


def test_the_context_is_what_the_build_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    admitted = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {name.rstrip("/") for rest in said(BUILD, "COPY") for name in rest.split()[:-1]}
    assert "*" in lines
    assert copied == admitted


def test_the_user_is_a_number_that_is_not_root() -> None:
    (user,) = said(RESULT, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_configuration_of_pip_is_a_secret_that_the_image_does_not_keep() -> None:
    (install, *_) = said(BUILD, "RUN")
    assert install.startswith("--mount=type=secret,id=pip.conf --mount=type=secret,id=ca.pem ")
    assert any("PIP_CONFIG_FILE=/run/secrets/pip.conf" in each for each in said(BUILD, "ENV"))
    assert not any("/run/secrets" in each for word in ("ENV", "RUN", "COPY") for each in said(RESULT, word))


def test_no_frontend_is_fetched_to_build_it() -> None:
    assert "syntax=" not in (ROOT / "Dockerfile").read_text(encoding="utf-8").split("FROM", 1)[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the root that the build stage leaves: each of its instructions run, word for word, in a chroot."""
    if os.geteuid() != 0 or printed("unshare", "--mount", "true")[0] != 0:
        pytest.skip("mounts of its own, which this needs, are for root, where the kernel allows them at all")
    return made_once(tmp_path_factory, "image", _build)


def _build(folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{PYTHON / 'bin'}:{os.environ['PATH']}", "REVISION": "0123abc"}
    where = "/"
    for instruction in BUILD:
        where = _follow(instruction, folder, where, environment)


def _follow(instruction: Instruction, root: Path, where: str, environment: dict[str, str]) -> str:
    """Carry out one instruction below `root`, and return the folder that the next is in."""
    if instruction.word == "WORKDIR":
        (root / instruction.rest.lstrip("/")).mkdir(parents=True)
        return instruction.rest
    if instruction.word == "ENV":
        given = dict(each.split("=", 1) for each in shlex.split(instruction.rest))
        environment |= {name: text for name, text in given.items() if not text.startswith("/run/secrets/")}
    elif instruction.word == "COPY":
        *sources, target = instruction.rest.split()
        for source in sources:
            _copy(ROOT / source, root / where.lstrip("/") / target)
    elif instruction.word == "RUN":
        shell = re.sub(r"--mount=\S+ ", "", instruction.rest)
        command = ["unshare", "--mount", "sh", str(IN_BUILD), str(root), where, shell]
        subprocess.run(command, env=environment, check=True, timeout=200)  # noqa: S603 - the Dockerfile is ours
    else:
        assert instruction.word in {"FROM", "ARG"}, f"no test knows how to follow {instruction.word}"
    return where


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def in_image(root: Path, *command: str) -> list[str]:
    """Return the words that run a command in the image."""
    (user,) = said(RESULT, "USER")
    here = root / "mounted"
    here.mkdir(exist_ok=True)
    tree = root / "opt" / "mms-exporter"
    return ["unshare", "--mount", "sh", *map(str, (IN_IMAGE, here, tree, PYTHON, user)), *command]


@of_the_built_image
async def test_it_runs_as_its_user_on_a_root_that_nobody_can_write_to(root: Path) -> None:
    (entry,) = map(json.loads, said(RESULT, "ENTRYPOINT"))
    command = in_image(root, f"/opt/mms-exporter/bin/{entry[0]}", "demo")
    addresses = ["--web.listen-address=127.0.0.1:0", "--simulator.listen-address=127.0.0.1:0"]
    process = await asyncio.create_subprocess_exec(
        *command, *addresses, env={}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        url = await _url(process)
        async with ClientSession() as session, session.get(f"{url}/metrics") as response:
            assert "mms_exporter_build_info{python_version=" in (text := await response.text())
            assert 'revision="0123abc"' in text
        ids = " ".join(["65532"] * 4)
        assert _identity(process.pid) == {"Uid": ids, "Gid": ids, "Groups": "", "CapEff": "0" * 16}
    finally:
        process.terminate()
        await process.communicate()


def _identity(process_id: int) -> dict[str, str]:
    """Return who a process is, and what it may."""
    lines = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").splitlines()
    said_of = {name: " ".join(rest.split()) for name, _, rest in (line.partition(":") for line in lines)}
    return {name: said_of[name] for name in ("Uid", "Gid", "Groups", "CapEff")}


async def _url(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    lines = []
    async with asyncio.timeout(30):
        while line := (await process.stdout.readline()).decode():
            lines.append(line)
            if found := re.search(r"Metrics +(http://\S+)/metrics", line):
                return found[1]
    pytest.fail("".join(lines))


@of_the_built_image
def test_nothing_in_it_can_be_written_to(root: Path) -> None:
    attempt = "import os\nfor each in ('/', '/opt/mms-exporter', '/tmp'): print(os.access(each, os.W_OK))"
    answer = subprocess.run(  # noqa: S603 - as above
        in_image(root, "/opt/mms-exporter/bin/python", "-c", attempt),
        env={},
        check=True,
        capture_output=True,
        text=True,
    )
    assert answer.stdout.split() == ["False", "False", "False"]


@of_the_built_image
def test_it_holds_no_installer_and_is_as_small_as_the_documents_say(root: Path) -> None:
    tree = root / "opt" / "mms-exporter"
    assert [each for each in ("pip", "setuptools", "flit_core") if list(tree.glob(f"lib/*/site-packages/{each}"))] == []
    size = sum(each.lstat().st_size for each in tree.rglob("*"))
    (said_size,) = re.findall(r"(\d+) MiB on top of", (ROOT / "deploy" / "README.md").read_text(encoding="utf-8"))
    assert size / MEBIBYTE < int(said_size)


@of_the_built_image
def test_what_is_compiled_is_published_for_arm64_too(root: Path) -> None:
    wheels = (root / "build" / "wheels").glob("*-cp*.whl")
    packages = ["==".join(wheel.name.split("-")[:2]) for wheel in wheels]
    assert packages
    code, output = printed(
        *(INSTALLED / "uv", "pip", "install", "--quiet", "--dry-run", "--target=/nonexistent", "--no-deps"),
        *(f"--python={sys.executable}", "--python-platform=aarch64-manylinux_2_28", "--only-binary=:all:", *packages),
    )
    assert (code, output) == (0, "")
