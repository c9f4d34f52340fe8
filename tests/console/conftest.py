"""One real stack and one browser for all of these tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from playwright.async_api import Browser

from stack.local import LocalStack, running_stack
from stack.ports import Ports
from stack.state import State
from tests.console.browser import Visitors, chromium, running_browser
from tests.console.playing import PlayedApi, played_console


@pytest.fixture(scope="session")
def executable() -> str:
    """The browser's program."""
    return chromium()


@pytest.fixture(scope="session")
async def browser(executable: str) -> AsyncIterator[Browser]:
    """Chromium."""
    async with running_browser(executable) as browser:
        yield browser


@pytest.fixture(scope="session")
def pages_stack(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Everything as `make up` starts it, with a bank that is quick."""
    root = tmp_path_factory.mktemp("pages") / "state"
    with State.locked(root) as state, running_stack(state, Ports.free(), durable=False) as stack:
        quick = {"settle_after_s": 0.5, "return_after_s": 0.5}
        httpx.put(f"{stack.sandbox_url}/_sandbox/settings", json=quick, trust_env=False).raise_for_status()
        yield stack


@pytest.fixture
async def visitors(browser: Browser, pages_stack: LocalStack) -> AsyncIterator[Visitors]:
    """Windows on the stack's console; no page may have had an error of its own."""
    visitors = Visitors(browser, pages_stack.console_url)
    try:
        yield visitors
    finally:
        await visitors.close()
    assert visitors.complaints == []


@pytest.fixture
async def played(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[PlayedApi, Visitors]]:
    """A console whose API answers as a test says: for what the real one does after weeks, or never does."""
    async with played_console(tmp_path_factory.mktemp("played")) as (api, address):
        visitors = Visitors(browser, address)
        try:
            yield api, visitors
        finally:
            await visitors.close()
        assert visitors.complaints == []
