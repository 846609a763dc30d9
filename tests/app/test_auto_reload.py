"""Auto-reload continues after every kind of invalid file, reports it and loads the fixed one."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.app.reloading import Reloader
from exporter.app.service import Service
from exporter.config.file_changes import FileStamps, fingerprint
from exporter.config.loading import Config, load
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Simulator
from tests.app.test_reloading import CHECK_SECONDS, is_successful
from tests.harness import eventually
from tests.processes import write_config


@asynccontextmanager
async def watched(load_config: Callable[[], Config], read_stamps: Callable[[], FileStamps]) -> AsyncIterator[Service]:
    """Provide a service with auto-reload."""
    service = Service(Telemetry(with_process=False))
    reloader = Reloader(load_config, service, read_stamps)
    try:
        await reloader.start(reloader.load())
        await eventually(lambda: service.is_ready)
        reloader.watch_files(CHECK_SECONDS)
        yield service
    finally:
        await reloader.close()
        await service.close()


def loop_links(file: Path) -> None:
    """Replace the file by a link to itself."""
    file.unlink()
    file.symlink_to(file.name)


def put_folder(file: Path) -> None:
    """Replace the file by a folder."""
    file.unlink()
    file.mkdir()


def rename_folder(file: Path) -> None:
    """Rename the folder of the file."""
    file.parent.rename(file.parent.with_name("renamed"))


def remove_permissions(file: Path) -> None:
    """Remove all permissions of the file."""
    file.chmod(0)


CAUSES: dict[str, Callable[[Path], object]] = {
    "folder": put_folder,
    "folder renamed": rename_folder,
    "loop of links": loop_links,
    "no permission": remove_permissions,
    "no text": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "a tag without its value": lambda file: file.write_text("accounts: !!bool maybe", encoding="utf-8"),
    "a list in itself": lambda file: file.write_text("accounts: &accounts [*accounts]", encoding="utf-8"),
}


def restore(folder: Path, url: str) -> Path:
    """Create the folder again, with a valid configuration."""
    if folder.exists():
        folder.rename(folder.with_name("bad"))
    folder.mkdir()
    return write_config(folder, url, "jobs: {enabled: false}\n")


MAY_READ_ALL = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


@pytest.mark.parametrize(
    "break_file",
    [
        pytest.param(break_file, id=name, marks=MAY_READ_ALL if break_file is remove_permissions else ())
        for name, break_file in CAUSES.items()
    ],
)
async def test_auto_reload_continues_after_an_unreadable_file(
    break_file: Callable[[Path], object], simulator: Simulator, tmp_path: Path
) -> None:
    file = restore(tmp_path / "mounted", simulator.url)
    file.write_text(file.read_text(encoding="utf-8") + "# first\n", encoding="utf-8")
    async with watched(lambda: load(file), lambda: fingerprint(file)) as service:
        break_file(file)
        await eventually(lambda: not is_successful(service))
        assert [each.account for each in service.publisher.publication.snapshot.accounts] == ["test"]
        restore(file.parent, simulator.url)
        await eventually(lambda: is_successful(service))


async def test_auto_reload_continues_after_an_unexpected_error_in_the_check(
    simulator: Simulator, tmp_path: Path
) -> None:
    # The stamps are read as ASCII, which raises an unexpected error.
    file = write_config(tmp_path, simulator.url)
    async with watched(lambda: load(file), lambda: {file: (hash(file.read_text("ascii")),)}) as service:
        loaded_at = service.status_input().load.at or 0.0
        with capture_logs() as logs:
            write_config(tmp_path, simulator.url, "# é\n")
            await eventually(lambda: bool(logs))
        assert (
            logs[0]["event"]
            == "configuration reload failed with an unexpected error, keeping the previous configuration"
        )
        write_config(tmp_path, simulator.url, "# e\n")
        await eventually(lambda: (service.status_input().load.at or 0.0) > loaded_at)


async def test_auto_reload_continues_after_an_unexpected_error_in_the_load(
    simulator: Simulator, tmp_path: Path
) -> None:
    # The file is loaded as ASCII, which raises an unexpected error.
    file = write_config(tmp_path, simulator.url)

    def load_ascii() -> Config:
        file.read_text("ascii")
        return load(file)

    async with watched(load_ascii, lambda: fingerprint(file)) as service:
        write_config(tmp_path, simulator.url, "# é\n")
        await eventually(lambda: not is_successful(service))
        assert "unexpected" in service.status_input().load.problems[0]
        write_config(tmp_path, simulator.url, "# e\n")
        await eventually(lambda: is_successful(service))
