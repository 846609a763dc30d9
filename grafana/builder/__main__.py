"""`python -m grafana.builder`: write the dashboards and the exclusions of the linter."""

import json
from pathlib import Path
from typing import Any, Final

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.builder import datasource, exporter, jobs, linting, overview
from grafana.builder.page import Page

TARGET: Final = Path(__file__).parents[1] / "dashboards"
PAGES: Final = {
    "overview.json": overview.page,
    "datasource.json": datasource.page,
    "jobs.json": jobs.page,
    "exporter.json": exporter.page,
    "wall.json": overview.wall,
}


def _json(page: Page) -> str:
    return json.dumps(page.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def files() -> dict[str, str]:
    """Return the text of each file by name."""
    texts = {name: _json(page()) for name, page in PAGES.items()}
    loaded: list[Any] = [json.loads(text) for text in texts.values()]
    head = "# Written by `python -m grafana.builder`.\n"
    return texts | {".lint": head + yaml.safe_dump(linting.exclusions(loaded), sort_keys=True, width=120)}


def main() -> None:
    """Write every file."""
    TARGET.mkdir(exist_ok=True)
    for name, text in files().items():
        (TARGET / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
