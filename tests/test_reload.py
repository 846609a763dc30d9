"""Reload of the process: by signal at any time, over HTTP, and after file changes."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from exporter.simulator import Simulator
from tests.exposition_parser import Exposition
from tests.harness import eventually
from tests.processes import ENVIRONMENT, Running, run, serving, write_config
from tests.programs import ROOT

RENAMED = "name: renamed"


def survives_hang_up(pid: int) -> bool:
    """Return whether a process ignores or handles SIGHUP."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigIgn:", "SigCgt:"))]
    return any(mask & 1 << (signal.SIGHUP - 1) for mask in masks)


def rename_account(file: Path) -> None:
    """Rename the account of a configuration; replace the file atomically."""
    text = file.read_text(encoding="utf-8").replace("name: test", RENAMED)
    other = file.with_suffix(".new")
    other.write_text(text, encoding="utf-8")
    other.replace(file)


async def test_sighup_during_the_start_neither_stops_the_exporter_nor_is_lost(
    simulator: Simulator, tmp_path: Path
) -> None:
    file = write_config(tmp_path, simulator.url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", f"--config.file={file}", "--web.listen-address=127.0.0.1:0"),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Running(process)
    try:
        await eventually(lambda: survives_hang_up(process.pid))
        listening = asyncio.create_task(running.listen())
        rename_account(file)
        while not listening.done():
            process.send_signal(signal.SIGHUP)
            await asyncio.wait({listening}, timeout=0.01)
        await listening
        await running.until(lambda served: served.by("mms_up", "account") == {"renamed": 1})
        assert (await running.end()).code == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_sighup_during_the_shutdown_has_no_effect(simulator: Simulator, tmp_path: Path) -> None:
    async with serving(f"--config.file={write_config(tmp_path, simulator.url)}") as exporter:
        await exporter.until_ready()
        ending = asyncio.create_task(exporter.end())
        while not ending.done():
            if exporter.process.returncode is None:
                with suppress(ProcessLookupError):  # it has exited, but the event loop does not know yet
                    # Its own send_signal may take the exit code from the loop.
                    os.kill(exporter.process.pid, signal.SIGHUP)
            await asyncio.wait({ending}, timeout=0.002)
        ended = await ending
    assert ended.code == 0
    assert "Traceback" not in ended.err
    assert "never" not in ended.err, "no task or session stays open"


async def test_a_symbolic_link_changed_as_by_kubernetes_is_reloaded(simulator: Simulator, tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        write_config(tmp_path / version, simulator.url)
    rename_account(tmp_path / "2" / "config.yaml")
    data = tmp_path / "..data"
    data.symlink_to("1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    flags = ("--config.auto-reload", "--config.auto-reload-interval=1s")
    async with serving(f"--config.file={tmp_path}/config.yaml", *flags) as exporter:
        await exporter.until_ready()
        (tmp_path / "..new").symlink_to("2")
        os.rename(tmp_path / "..new", data)  # noqa: PTH104 - as Kubernetes does
        await exporter.until(lambda served: served.by("mms_up", "account") == {"renamed": 1})


async def test_a_rotated_secret_is_reloaded(simulator: Simulator, tmp_path: Path) -> None:
    file, secret = write_config(tmp_path, simulator.url), tmp_path / "secret"
    secret.write_text("wrong", encoding="utf-8")
    named = file.read_text(encoding="utf-8").replace(
        "access_key_secret: not-a-secret", f"access_key_secret_file: {secret}"
    )
    file.write_text(named, encoding="utf-8")
    flags = ("--config.auto-reload", "--config.auto-reload-interval=1s")
    async with serving(f"--config.file={file}", *flags) as exporter:
        await exporter.until(lambda served: served.value("mms_up", account="test") == 0)
        secret.write_text("not-a-secret", encoding="utf-8")
        await exporter.until(lambda served: served.value("mms_up", account="test") == 1)


async def by_signal(exporter: Running) -> None:
    exporter.process.send_signal(signal.SIGHUP)


async def by_post(exporter: Running) -> None:
    await exporter.ask("POST", "/-/reload")


def is_reloaded(served: Exposition) -> bool:
    """Return whether the metrics report a successful last reload."""
    return served.value("mms_exporter_config_last_reload_successful") == 1


@pytest.mark.parametrize("reload", [by_signal, by_post])
async def test_an_invalid_web_configuration_keeps_the_previous_configuration(
    simulator: Simulator, tmp_path: Path, reload: Callable[[Running], Awaitable[None]]
) -> None:
    # A fixed web configuration applies no pending change of the configuration before the next reload.
    file, web = write_config(tmp_path, simulator.url), tmp_path / "web.yaml"
    web.write_text("{}", encoding="utf-8")
    flags = (f"--web.config.file={web}", "--web.enable-lifecycle")
    async with serving(f"--config.file={file}", *flags) as exporter:
        await exporter.until_ready()
        rename_account(file)
        web.write_text("nonsense: 1", encoding="utf-8")
        await reload(exporter)
        await exporter.until(lambda served: not is_reloaded(served))
        status, text = await exporter.ask("POST", "/-/reload")
        assert status == 400
        assert text.startswith(f"{web}: nonsense: unknown key;")
        web.write_text("auth_excluded_paths: [/-/healthy]", encoding="utf-8")
        await asyncio.gather(*(exporter.metrics() for _ in range(3)))
        served = await exporter.metrics()
        assert served.by("mms_up", "account") == {"test": 1}
        assert not is_reloaded(served)
        await reload(exporter)
        await exporter.until(lambda served: served.by("mms_up", "account") == {"renamed": 1})
        assert is_reloaded(await exporter.metrics())


@pytest.mark.parametrize("reload", [by_signal, by_post])
async def test_an_invalid_configuration_is_reported_with_a_valid_web_configuration(
    simulator: Simulator, tmp_path: Path, reload: Callable[[Running], Awaitable[None]]
) -> None:
    # A change of the web configuration must not hide that the configuration is not applied.
    file, web = write_config(tmp_path, simulator.url), tmp_path / "web.yaml"
    web.write_text("{}", encoding="utf-8")
    good = file.read_text(encoding="utf-8")
    flags = (f"--web.config.file={web}", "--web.enable-lifecycle")
    async with serving(f"--config.file={file}", *flags) as exporter:
        await exporter.until_ready()
        file.write_text("accounts: []", encoding="utf-8")
        web.write_text("auth_excluded_paths: [/-/healthy]", encoding="utf-8")
        await reload(exporter)
        await exporter.until(lambda served: not is_reloaded(served))
        assert await exporter.ask("POST", "/-/reload") == (400, f"{file}:1: accounts: expected at least one\n")
        served = await exporter.metrics()
        assert served.by("mms_up", "account") == {"test": 1}
        assert not is_reloaded(served)
        file.write_text(good, encoding="utf-8")
        await reload(exporter)
        await exporter.until(is_reloaded)


async def test_auto_reload_requires_a_configuration_file() -> None:
    ended = await run("--mms.region=cn-shanghai", "--config.auto-reload")
    assert (ended.code, ended.err) == (2, "mms-exporter: --config.auto-reload: requires --config.file\n")
