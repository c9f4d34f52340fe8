"""Every page is for everybody: axe finds no violation, light or dark, and 360 pixels are enough."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize

from tests.console.browser import Visitors
from tests.console.playing import PlayedApi
from tests.console.tour import Stop, blocked_pages, customers_pages, desk_pages, rare_pages

AXE = Axe()
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
WIDE = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=360, height=740)


@pytest.mark.parametrize("pages", [customers_pages, blocked_pages, desk_pages])
async def test_every_page_is_accessible_in_light_and_dark_and_fits_a_phone(
    visitors: Visitors, pages: Callable[[Visitors, str], AsyncIterator[Stop]]
) -> None:
    # Each language has its own words in the same markup; the walk goes through both.
    language = "zh" if pages is customers_pages else "en"
    assert await _complaints(pages(visitors, language)) == {}


async def test_the_rare_pages_are_as_well(played: tuple[PlayedApi, Visitors]) -> None:
    assert await _complaints(rare_pages(*played, "zh")) == {}


async def _complaints(pages: AsyncIterator[Stop]) -> dict[str, str]:
    found: dict[str, str] = {}
    async for name, page in pages:
        light = await AXE.run(page)
        if light.violations_count:
            found[name] = light.generate_report()
        await page.emulate_media(color_scheme="dark")
        dark = await AXE.run(page, options=CONTRAST)
        if dark.violations_count:
            found[f"{name} in the dark"] = dark.generate_report()
        await page.emulate_media(color_scheme="light")
        too_wide = await _too_wide(page)
        if too_wide:
            found[f"{name} on a phone"] = too_wide
    return found


async def _too_wide(page: Page) -> str:
    """What sticks out of the page at 360 pixels."""
    await page.set_viewport_size(NARROW)
    sticks_out: str = await page.evaluate(
        """() => document.scrollingElement.scrollWidth <= innerWidth ? "" :
            [...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > innerWidth + 1)
                .slice(0, 5).map(one => one.outerHTML.slice(0, 120)).join("\\n")"""
    )
    await page.set_viewport_size(WIDE)
    return sticks_out
