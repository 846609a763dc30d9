"""Takes the screenshots in docs/images from the demo: `python -m tests.web.pictures`, which takes 8 minutes."""

import asyncio
from typing import Literal

from playwright.async_api import ViewportSize

from tests.processes import serving
from tests.programs import ROOT
from tests.web.browser import chromium

DESK = ViewportSize(width=1280, height=1180)
PICTURES: dict[str, tuple[Literal["light", "dark"], ViewportSize]] = {
    "status-light": ("light", DESK),
    "status-dark": ("dark", DESK),
    "status-phone": ("light", ViewportSize(width=390, height=1180)),
}

MOMENT_SECONDS = 470.0
"""An agent is offline, tables have failed, and a retry has not begun."""


async def take() -> None:
    """Take all screenshots of one demo."""
    async with serving("demo", "--simulator.listen-address=127.0.0.1:0") as demo, chromium() as browser:
        await demo.until_ready()
        await asyncio.sleep(MOMENT_SECONDS)
        for name, (scheme, viewport) in PICTURES.items():
            page = await browser.new_page(color_scheme=scheme, viewport=viewport)
            await page.goto(demo.urls[0])
            await page.locator("time[title]").first.wait_for(state="attached")
            await page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(take())
