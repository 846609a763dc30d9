"""The simulated world and the exporter configurations of the soak. Pure except for the file."""

import json
from pathlib import Path
from typing import Any, Final

from exporter.config.loading import Config, config_from
from exporter.simulator import WorldOptions
from tests.conftest import account_on
from tests.soak.troubles import FIRST

WORLD: Final = WorldOptions(
    sources=5,
    databases=2,
    tables=6,
    partitions=4,
    finished_jobs_per_source=95,  # several pages of jobs over time
    job_seconds=600.0,
    special_sources=False,
    timers=1,
)
CONNECTIONS_PER_ACCOUNT: Final = 8
SETTLED: Final = "settled"
"""The kind of the configuration without troubles."""
SETTINGS: Final[dict[str, Any]] = {
    "refresh": {"interval": "1s", "stale_after": "8s"},
    "jobs": {"linger": "5s", "idle_interval": "3s"},
    "failures": {"max_per_source": 10_000},
    "tasks": {"enabled": True},
    "timers": {"interval": "1s"},
    "watch": {"tables": [{"source_id": FIRST, "table_ids": [1, 2]}]},
}


def content(url: str, kind: str = "plain") -> dict[str, Any]:
    """Return the configuration of a kind named in Troubles, or of SETTLED."""
    names = {"broken": [], "two accounts": ["test", "other"]}.get(kind, ["test"])
    # The comparison runs in the process of the simulator, which answers nothing meanwhile.
    timeout = "20s" if kind == SETTLED else "500ms"
    accounts = [account_on(url, name, timeout=timeout, concurrency=CONNECTIONS_PER_ACCOUNT) for name in names]
    pace = {"refresh": {"interval": "2s", "stale_after": "8s"}} if kind == "other pace" else {}
    return {"accounts": accounts, **SETTINGS, **pace}


def settled(url: str) -> Config:
    """Return the final configuration."""
    return config_from(content(url, SETTLED))


def written(folder: Path, url: str, kind: str = "plain") -> Path:
    """Write a configuration, and return its file."""
    file = folder / "config.yaml"
    file.with_suffix(".new").write_text(json.dumps(content(url, kind)), encoding="utf-8")
    return file.with_suffix(".new").replace(file)
