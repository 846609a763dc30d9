"""Following goes on, whatever becomes of the file: what is wrong is seen, and what is mended is loaded."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.app.reloading import Reloader
from exporter.app.service import Service
from exporter.config.file_changes import FileStamps, config_files, stamps_of
from exporter.config.loading import Config, load
from exporter.exposition.telemetry import Telemetry
from exporter.simulator import Simulator
from tests.app.test_reloading import LOOK, is_successful
from tests.harness import eventually
from tests.processes import write_config


@asynccontextmanager
async def followed(load_config: Callable[[], Config], look: Callable[[], FileStamps]) -> AsyncIterator[Service]:
    """Provide a service whose configuration is followed."""
    service = Service(Telemetry(with_process=False))
    reloader = Reloader(load_config, service, look)
    try:
        await reloader.start(reloader.load())
        await eventually(lambda: service.is_ready)
        reloader.watch_files(LOOK)
        yield service
    finally:
        await reloader.close()
        await service.close()


def loop_links(file: Path) -> None:
    """Have a link lead to itself."""
    file.unlink()
    file.symlink_to(file.name)


def put_folder(file: Path) -> None:
    """Have a folder in the place of the file."""
    file.unlink()
    file.mkdir()


def take_folder_away(file: Path) -> None:
    """Have the file's folder be gone."""
    file.parent.rename(file.parent.with_name("gone"))


def forbid(file: Path) -> None:
    """Have nobody be allowed to read the file."""
    file.chmod(0)


CAUSES: dict[str, Callable[[Path], object]] = {
    "folder": put_folder,
    "folder gone": take_folder_away,
    "loop of links": loop_links,
    "no permission": forbid,
    "no text": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "a tag without its value": lambda file: file.write_text("accounts: !!bool maybe", encoding="utf-8"),
    "a list in itself": lambda file: file.write_text("accounts: &accounts [*accounts]", encoding="utf-8"),
}


def mend(folder: Path, url: str) -> Path:
    """Put a new folder with a configuration where there was one or none."""
    if folder.exists():
        folder.rename(folder.with_name("bad"))
    folder.mkdir()
    return write_config(folder, url, "jobs: {enabled: false}\n")


MAY_READ_ALL = pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")


@pytest.mark.parametrize(
    "spoil",
    [pytest.param(spoil, id=name, marks=MAY_READ_ALL if spoil is forbid else ()) for name, spoil in CAUSES.items()],
)
async def test_it_goes_on_behind_a_file_that_cannot_be_read(
    spoil: Callable[[Path], object], simulator: Simulator, tmp_path: Path
) -> None:
    file = mend(tmp_path / "mounted", simulator.url)
    file.write_text(file.read_text(encoding="utf-8") + "# first\n", encoding="utf-8")
    async with followed(lambda: load(file), lambda: stamps_of(config_files(file))) as service:
        spoil(file)
        await eventually(lambda: not is_successful(service))
        assert [each.account for each in service.publisher.publication.snapshot.accounts] == ["test"]
        mend(file.parent, simulator.url)
        await eventually(lambda: is_successful(service))


async def test_it_goes_on_behind_what_nobody_foresaw_in_the_content(simulator: Simulator, tmp_path: Path) -> None:
    """Who looks at it here reads ASCII, and foresees nothing else."""
    file = write_config(tmp_path, simulator.url)
    async with followed(lambda: load(file), lambda: {file: (hash(file.read_text("ascii")),)}) as service:
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


async def test_it_goes_on_behind_what_nobody_foresaw_in_the_configuration(simulator: Simulator, tmp_path: Path) -> None:
    """Who loads it here takes ASCII, and foresees nothing else."""
    file = write_config(tmp_path, simulator.url)

    def load_ascii() -> Config:
        file.read_text("ascii")
        return load(file)

    async with followed(load_ascii, lambda: stamps_of(config_files(file))) as service:
        write_config(tmp_path, simulator.url, "# é\n")
        await eventually(lambda: not is_successful(service))
        assert "unexpected" in service.status_input().load.problems[0]
        write_config(tmp_path, simulator.url, "# e\n")
        await eventually(lambda: is_successful(service))
