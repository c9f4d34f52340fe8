"""The Withdrawal Record: live status, details, cancel, filter, pages, and the export."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import httpx
from playwright.async_api import Page, expect

from console.languages import SHANGHAI
from stack.local import LocalStack
from tests.console.browser import Visitors, apply, withdraw


async def test_what_the_bank_refuses_is_seen_without_reading_the_page_again(visitors: Visitors) -> None:
    page = await visitors.customer("yunshang")
    await page.goto("/billing/withdrawal")
    await _the_bank(page, "takes the transfer, then fails", card="6228480000000299999")
    await page.goto("/billing/withdrawal/apply?sample=yes")
    await page.fill("#card_number", "6228480000000299999")
    await page.fill("#amount", "1000")
    await page.click("main .actions button:has-text('Confirm')")
    code = await page.locator("#inbox .code").first.inner_text()
    await page.fill("#code", code)
    await page.click("main .actions button:has-text('Confirm')")
    await page.get_by_role("link", name="See where it stands").click()
    await expect(page.locator("#standing .badge")).to_have_text("Failed")
    await expect(page.locator(".notice.bad")).to_contain_text("The frozen amount is back in your account.")
    await expect(page.locator("#announce")).to_have_text("Failed")
    await expect(page.locator(".timeline .to-come")).to_have_count(0)
    # All of it is back, and this month can be used again.
    await page.goto("/billing/withdrawal")
    await expect(page.locator(".sum .total td")).to_have_text("CNY 86,000.00")
    await expect(page.get_by_role("link", name="APPLY FOR WITHDRAWAL")).to_be_visible()


async def test_money_that_the_bank_sends_back_is_told_and_credited(visitors: Visitors) -> None:
    page = await visitors.customer("yunshang", "zh")
    await page.goto("/billing/withdrawal")
    await _the_bank(page, "付款后退票", card="6228480000000288888")
    await page.goto("/billing/withdrawal/apply?sample=yes")
    await page.fill("#card_number", "6228480000000288888")
    await page.fill("#amount", "1000")
    await page.click("main .actions button:has-text('确认')")
    await page.fill("#code", await page.locator("#inbox .code").first.inner_text())
    await page.click("main .actions button:has-text('确认')")
    await page.get_by_role("link", name="查看进度").click()
    await expect(page.locator("#standing .badge")).to_have_text("银行退票")
    await expect(page.locator(".notice.bad")).to_have_text("银行退票，款项已退回您的账户。")


async def test_the_timeline_tells_what_happened_and_what_comes_next(visitors: Visitors) -> None:
    page = await visitors.customer("yunshang")
    withdrawal_id = await apply(page, "60000")
    await page.goto(f"/billing/withdrawal/{withdrawal_id}")
    await expect(page.locator(".timeline .happened .what")).to_have_text(
        ["Application received", "Verification code sent to the phone"]
    )
    await expect(page.locator(".timeline .to-come .what")).to_have_text(
        [
            "You enter the code from the SMS",
            "The amount is frozen in your account",
            "The bank transfers it, within 10 to 15 working days",
        ]
    )
    await expect(page.locator(".timeline .happened .when").first).to_contain_text("you")


async def test_cancelling_is_asked_about_and_gives_the_money_back(visitors: Visitors) -> None:
    page = await visitors.customer("yunshang")
    withdrawal_id = await withdraw(page, "60000")
    await page.goto("/billing/withdrawal")
    await expect(page.locator(".sum .total td")).to_have_text("CNY 26,000.00")
    await page.goto(f"/billing/withdrawal/{withdrawal_id}")
    await page.get_by_role("link", name="Cancel the withdrawal").click()
    await expect(page.locator("main form")).to_contain_text("CNY 60,000.00 to 招商银行 **** 0022")
    await page.get_by_role("button", name="Yes, cancel it").click()
    await expect(page.locator("#standing .badge")).to_have_text("Cancelled")
    await expect(page.locator(".notice").first).to_contain_text("The withdrawal was cancelled.")
    # Once more by its address: too late, and said so.
    await page.goto(f"/billing/withdrawal/{withdrawal_id}/cancel")
    await expect(page.locator(".notice").first).to_contain_text("It cannot be cancelled any more")
    await page.goto("/billing/withdrawal")
    await expect(page.locator(".sum .total td")).to_have_text("CNY 86,000.00")


async def test_the_record_is_filtered_turned_over_and_exported(visitors: Visitors, pages_stack: LocalStack) -> None:
    page = await visitors.customer("yunshang")
    account_id = await page.locator(".who").get_attribute("title")
    assert account_id is not None
    _many_cancelled(pages_stack, account_id, 12)
    await page.goto("/billing/withdrawal")
    rows = page.locator("#record-list tbody tr")
    await expect(rows).to_have_count(10)
    await page.get_by_role("link", name="Older").click()
    await expect(rows).to_have_count(2)
    await page.get_by_role("link", name="Newest").click()
    await expect(rows).to_have_count(10)
    today = datetime.now(UTC).astimezone(SHANGHAI).date()
    await page.select_option("#status", "cancelled")
    await page.fill("#since", today.isoformat())
    await page.fill("#until", today.isoformat())
    await page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(10)
    await page.get_by_role("link", name="Older").click()
    await expect(rows).to_have_count(2)
    exported = await _export(page)
    assert len(exported) == 12
    assert exported[0]["Bank"] == "'=HYPERLINK(0)"
    assert exported[0]["Amount (CNY)"] == "11.00"
    assert exported[0]["Card"] == "**** 0022"
    tomorrow = (today + timedelta(days=1)).isoformat()
    await page.goto(f"/billing/withdrawal?status=cancelled&since={tomorrow}")
    await expect(page.locator("#record-list")).to_contain_text("No application fits this filter.")
    await page.goto("/billing/withdrawal?since=2026-02-30&until=yesterday")
    await expect(page.locator("#since-error")).to_have_text("Enter a date such as 2026-11-25.")
    await page.goto(f"/billing/withdrawal?since={tomorrow}&until={today}")
    await expect(page.locator("#until-error")).to_have_text("This is before the other date.")
    await page.goto("/billing/withdrawal?cursor=nobody-gave-this-out")
    await expect(rows).to_have_count(10)


async def _the_bank(page: Page, does: str, *, card: str) -> None:
    corner = page.locator(".corner")
    await corner.locator("[name=card_number]").fill(card)
    await corner.locator("[name=behaviour]").select_option(label=does)
    await corner.locator(".corner-form button").click()
    await expect(page.locator(".notice")).to_be_visible()


async def _export(page: Page) -> list[dict[str, str]]:
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Export as CSV").click()
    file = await (await download.value).path()
    text = file.read_bytes().decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def _many_cancelled(stack: LocalStack, account_id: str, many: int) -> None:
    """Applications that were cancelled before the code: they use up no month, only the codes of a phone's day."""
    with httpx.Client(trust_env=False, timeout=30) as http:
        subject = account_id.replace("demo_", "user_", 1)
        claims = {"sub": subject, "scope": "withdrawals billing", "account_id": account_id}
        token = http.post(f"{stack.sandbox_url}/_sandbox/token", json=claims).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        company = {"subject_type": "company", "subject_name": "云上科技（上海）有限公司", "verified": True}
        states = {"suspended": False, "pay_as_you_use": False}
        card = {
            "account_name": "云上科技（上海）有限公司",
            "bank_name": "=HYPERLINK(0)",
            "branch_name": "+1",
            "card_number": "6228480000000200022",
        }
        for number in range(many):
            phone = {"phone": f"178{number:08d}"}
            http.put(f"{stack.api_url}/v1/accounts/{account_id}", json=company | states | phone).raise_for_status()
            application = {"account_id": account_id, "amount": f"{number or 100}.00", "bank_card": card}
            key = {"Idempotency-Key": f"many-{account_id}-{number}"}
            applied = http.post(f"{stack.api_url}/v1/withdrawals", json=application, headers=key)
            assert applied.status_code == 201, applied.text
            http.post(f"{stack.api_url}/v1/withdrawals/{applied.json()['id']}/cancel").raise_for_status()
