"""A real browser, and the people who sit in front of it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
HOW_TO_GET_IT = (
    "no Chromium on this machine: the tests of the pages need one, and fonts for Chinese "
    "(Debian: apt-get install chromium fonts-noto-cjk)"
)
PATIENCE_MS = 15_000


def chromium() -> str:
    """Where the browser is; without one the tests are skipped, on CI they fail."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(HOW_TO_GET_IT)
        pytest.skip(HOW_TO_GET_IT)
    return found


@contextlib.asynccontextmanager
async def running_browser(executable: str) -> AsyncIterator[Browser]:
    """Chromium without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visitors:
    """Opens windows on a console; each has its own cookies, like another person at another machine."""

    browser: Browser
    console_url: str
    opened: list[BrowserContext] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What the browser said of our pages: errors of scripts, and what the content security policy stopped."""

    async def window(self, language: str = "en", *, scripts: bool = True, **options: Any) -> Page:
        """A fresh window in a language."""
        context = await self.browser.new_context(
            base_url=self.console_url,
            locale={"zh": "zh-CN", "en": "en-GB"}[language],
            timezone_id="Asia/Shanghai",
            java_script_enabled=scripts,
            # Colours that are still on their way have no contrast to speak of.
            reduced_motion="reduce",
            viewport=options.pop("viewport", {"width": 1280, "height": 800}),
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        self.opened.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self._hear(said.type, said.text))
        return page

    async def customer(self, key: str, language: str = "en", *, fresh: bool = True, **options: Any) -> Page:
        """A window in which a made-up customer is logged in, on an account of their own."""
        page = await self.window(language, **options)
        await log_in(page, key, fresh=fresh)
        return page

    async def finance(self, key: str, language: str = "en", **options: Any) -> Page:
        """A window at the finance desk."""
        page = await self.window(language, **options)
        await page.goto("/log-in")
        await page.click(f"button[name=finance][value='{key}']")
        return page

    async def close(self) -> None:
        """Closes every window."""
        for context in self.opened:
            await context.close()

    def _hear(self, kind: str, text: str) -> None:
        # A refused form is answered 4xx, and the browser remarks on it: that is no fault of the page.
        if kind == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)


async def log_in(page: Page, key: str, *, fresh: bool = True) -> None:
    """As a made-up customer."""
    await page.goto("/log-in")
    if fresh:
        await page.check("[name=fresh]")
    await page.click(f"button[name=customer][value='{key}']")


async def apply(page: Page, amount: str) -> str:
    """Fills in Withdrawal Information with the made-up card and confirms; the withdrawal's id."""
    await page.goto("/billing/withdrawal/apply?sample=yes")
    await page.fill("#amount", amount)
    await confirm(page)
    return page.url.split("/")[-2]


async def confirm(page: Page) -> None:
    """Presses Confirm."""
    await page.click("main .actions button:has-text('Confirm'), main .actions button:has-text('确认')")


async def code_of_sms(page: Page) -> str:
    """What the newest SMS in the sandbox corner says; without scripts the page has to be read again."""
    for _ in range(100):
        codes = page.locator("#inbox .code")
        if await codes.count():
            return await codes.first.inner_text()
        await page.wait_for_timeout(100)
        await page.goto(page.url)
    raise AssertionError("no SMS came")


async def enter_code(page: Page) -> None:
    """Enters the right code and confirms."""
    code = await code_of_sms(page)
    await page.fill("#code", code)
    await confirm(page)


async def withdraw(page: Page, amount: str) -> str:
    """From the form to the word that it is received; the withdrawal's id."""
    withdrawal_id = await apply(page, amount)
    await enter_code(page)
    await page.wait_for_url("**/received")
    return withdrawal_id


async def errors_beside(page: Page) -> dict[str, str]:
    """The words beside each field, as a screen reader ties them to it."""
    found: dict[str, str] = await page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("[aria-invalid=true]")].map(field => [
            field.name,
            field.getAttribute("aria-describedby").split(" ").filter(id => id.endsWith("-error"))
                .map(id => document.getElementById(id).textContent.trim()).join(" "),
        ]))"""
    )
    return found
