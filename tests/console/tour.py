"""Every page of the console, one after the other, each in a state worth looking at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from playwright.async_api import Page, expect

from tests.console.browser import Visitors, apply, code_of_sms, confirm, enter_code
from tests.console.playing import PlayedApi, a_withdrawal, an_event

Stop = tuple[str, Page]


async def customers_pages(visitors: Visitors, language: str) -> AsyncIterator[Stop]:
    """The customer's way from the log-in to the record."""
    page = await visitors.window(language)
    await page.goto("/log-in")
    yield "log-in", page
    await page.check("[name=fresh]")
    await page.click("button[name=customer][value=zhang]")
    yield "home", page
    await page.goto("/billing/overview")
    yield "overview", page
    await page.goto("/billing/top-up")
    yield "top-up", page
    await page.goto("/billing/withdrawal")
    yield "withdrawal", page
    await page.goto("/billing/withdrawal/apply?sample=yes")
    await page.fill("#amount", "500")
    yield "information", page
    for name, typed in {
        "amount": "9,999",
        "account_name": "李四",
        "branch_name": "",
        "card_number": "6230 5800",
    }.items():
        await page.fill(f"#{name}", typed)
    await confirm(page)
    yield "information-errors", page
    await apply(page, "500")
    await code_of_sms(page)
    yield "verification", page
    await page.fill("#code", "000000")
    await confirm(page)
    yield "verification-wrong", page
    await page.goto(page.url.replace("verification", "cancel"))
    yield "cancel", page
    await page.goto(page.url.replace("cancel", "verification"))
    await enter_code(page)
    await page.wait_for_url("**/received")
    yield "received", page
    await page.goto(page.url.removesuffix("/received"))
    await expect(page.locator("#standing .badge.good")).to_be_visible()
    yield "details", page
    await page.goto("/billing/withdrawal")
    yield "record", page
    await page.goto("/billing/nothing")
    yield "nothing", page


async def blocked_pages(visitors: Visitors, language: str) -> AsyncIterator[Stop]:
    """What somebody sees who can withdraw nothing."""
    page = await visitors.customer("wang", language)
    await page.goto("/billing/withdrawal")
    yield "blocked", page


async def desk_pages(visitors: Visitors, language: str) -> AsyncIterator[Stop]:
    """The finance desk, with something to decide."""
    customer = await visitors.customer("yuanshan", language)
    await apply(customer, "1000000")
    await enter_code(customer)
    await customer.wait_for_url("**/received")
    page = await visitors.finance("li.wei", language)
    yield "desk-queue", page
    await page.locator("tbody tr", has_text="1,000,000.00").first.get_by_role("link").click()
    await page.fill("#note", "合同已核对")
    yield "desk-decision", page
    await page.locator("button[value=approve]").click()
    yield "desk-four-eyes", page
    await page.goto("/desk/search")
    await page.select_option("#status", "awaiting_approval")
    await page.click("main form button")
    yield "desk-search", page


async def rare_pages(api: PlayedApi, visitors: Visitors, language: str) -> AsyncIterator[Stop]:
    """What comes once in a while: a transfer without an outcome, and books that differ."""
    stuck = a_withdrawal("under_review")
    path = f"/v1/withdrawals/{stuck['id']}"
    story = (
        ("applied", "awaiting_verification", "user_yunshang"),
        ("code_sent", "awaiting_verification", "system"),
        ("verified", "awaiting_verification", "user_yunshang"),
        ("frozen", "awaiting_approval", "system"),
        ("approved", "processing", "wang.fang"),
        ("bank_asked", "processing", "system"),
        ("bank_accepted", "processing", "bank"),
        ("under_review", "under_review", "system"),
    )
    api.on("GET", "/v1/withdrawals", 200, {"items": [stuck], "next_cursor": None})
    api.on("GET", path, 200, stuck)
    api.on("GET", f"{path}/events", 200, {"items": [an_event(*told) for told in story]})
    found_at = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    difference = {
        "id": 7,
        "kind": "amount_differs",
        "entry": "payment",
        "client_ref": stuck["id"],
        "our_amount": "86000.00",
        "bank_amount": "8600.00",
        "owner": "operations",
        "found_at": found_at,
        "age_days": 2,
    }
    api.on("GET", "/v1/reconciliation", 200, {"items": [difference], "statements_read_until": "2026-11-24"})
    page = await visitors.finance("li.wei", language)
    await page.goto("/desk/review")
    yield "desk-review", page
    await page.locator("tbody tr").get_by_role("link").click()
    await page.fill("#evidence", "招商银行 11 月 24 日对账单第 7 行")
    yield "desk-resolution", page
    await page.goto("/desk/differences")
    yield "desk-differences", page
    api.answers[("GET", "/v1/withdrawals")] = (503, {}, {})
    await page.goto("/desk")
    yield "away", page
