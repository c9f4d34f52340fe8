"""Takes the pictures of every page into docs/screens: `make screens`. They are to be looked at before they go in."""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from PIL import Image
from playwright.async_api import Browser, Page, ViewportSize

from stack.local import LocalStack, running_stack
from stack.ports import Ports
from stack.state import State
from tests.console.browser import HOW_TO_GET_IT, NAMES, Visitors, running_browser
from tests.console.playing import played_console
from tests.console.tour import Stop, blocked_pages, customers_pages, desk_pages, rare_pages
from tests.databases import ROOT

SCREENS = ROOT / "docs" / "screens"
COLOURS = 256
"""Enough for our pages, the red of an error on a green one included; less than half the size of true colour."""

IN_THE_DARK = {"overview", "withdrawal", "details", "desk-decision"}
ON_A_PHONE = {"withdrawal", "information-errors", "verification", "record", "desk-queue"}
WIDE = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=360, height=740)


async def take_all(stack: LocalStack, executable: str) -> None:
    """Every page in both languages, and some of them in the dark and on a phone."""
    async with running_browser(executable) as browser:
        for language in ("en", "zh"):
            visitors = Visitors(browser, stack.console_url)
            for pages in (customers_pages, blocked_pages, desk_pages):
                await _take(pages(visitors, language), language)
            await visitors.close()
            await _take_rare(browser, language)


async def _take_rare(browser: Browser, language: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with played_console(Path(folder)) as (api, address):
            visitors = Visitors(browser, address)
            await _take(rare_pages(api, visitors, language), language)
            await visitors.close()


async def _take(pages: AsyncIterator[Stop], language: str) -> None:
    async for name, page in pages:
        await _save(page, f"{name}-{language}")
        if name in IN_THE_DARK:
            await page.emulate_media(color_scheme="dark")
            await _save(page, f"{name}-{language}-dark")
            await page.emulate_media(color_scheme="light")
        if name in ON_A_PHONE:
            await page.set_viewport_size(NARROW)
            await _save(page, f"{name}-{language}-phone")
            await page.set_viewport_size(WIDE)


async def _save(page: Page, name: str) -> None:
    picture = Image.open(io.BytesIO(await page.screenshot(full_page=True))).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        SCREENS / f"{name}.png", optimize=True
    )
    print(name)


def main() -> int:
    """Starts a stack of its own, walks through it, and ends it."""
    executable = next((path for path in map(shutil.which, NAMES) if path), None)
    if executable is None:
        print(HOW_TO_GET_IT, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="withdrawals-screens-") as folder:
        # PostgreSQL's unprivileged user passes through it.
        Path(folder).chmod(0o711)
        with (
            State.locked(Path(folder) / "state") as state,
            running_stack(state, Ports.free(), durable=False) as stack,
        ):
            quick = {"settle_after_s": 0.5}
            httpx.put(f"{stack.sandbox_url}/_sandbox/settings", json=quick, trust_env=False).raise_for_status()
            asyncio.run(take_all(stack, executable))
    return 0


if __name__ == "__main__":
    sys.exit(main())
