"""The seed's procedure, step by step, as somebody walks it who has nothing but its text."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.console.browser import Visitors, code_of_sms, confirm

WORDS = {
    "en": {
        "fees": "Fees",
        "management": "Billing Management",
        "funds": "Funds Management",
        "top_up": "Top Up",
        "overview": "Overview",
        "recharge": "Recharge",
        "withdrawal": "Withdrawal",
        "apply": "APPLY FOR WITHDRAWAL",
        "information": "Withdrawal Information",
        "verification": "Phone Verification",
        "received": "Your withdrawal application has been received and will be processed within 10 to 15 working days.",
        "record": "Withdrawal Record",
        "paid": "Paid",
        "withdrawable": "CNY 1,080.00",
        "amount": "CNY 500.00",
        "date": r"\d{1,2} [A-Z][a-z]+ 20\d\d",
    },
    "zh": {
        "fees": "费用",
        "management": "费用管理",
        "funds": "资金管理",
        "top_up": "充值",
        "overview": "总览",
        "recharge": "充值与提现",
        "withdrawal": "提现",
        "apply": "申请提现",
        "information": "提现信息",
        "verification": "手机验证",
        "received": "您的提现申请已受理，将在 10 到 15 个工作日内处理。",
        "record": "提现记录",
        "paid": "已到账",
        "withdrawable": "¥1,080.00",
        "amount": "¥500.00",
        "date": r"20\d\d年\d{1,2}月\d{1,2}日",
    },
}


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_procedure_of_the_help_page_works_as_written(
    visitors: Visitors, language: str, scripts: bool
) -> None:
    """Fees, Overview, Withdrawal in the Recharge area, apply, confirm, the code, confirm, and the record."""
    words = WORDS[language]
    page = await visitors.customer("zhang", language, scripts=scripts)
    await _to_the_withdrawal_page(page, words)
    await expect(page.locator(".sum .total td")).to_have_text(words["withdrawable"])
    await page.get_by_role("link", name=words["apply"], exact=True).click()
    await expect(page.locator("h1")).to_have_text(words["information"])
    await expect(page.locator("#account_name")).to_have_value("张伟")
    for name, typed in {
        "amount": "500",
        "bank_name": "平安银行",
        "branch_name": "上海分行营业部",
        # As it is printed on the card.
        "card_number": "6230 5800 0000 0100 011",
    }.items():
        await page.fill(f"#{name}", typed)
    await confirm(page)
    await expect(page.locator("h1")).to_have_text(words["verification"])
    await expect(page.locator("main")).to_contain_text(re.compile(r"177\*{4}\d{4}"))
    code = page.locator("#code")
    await expect(code).to_have_attribute("autocomplete", "one-time-code")
    await expect(code).to_have_attribute("inputmode", "numeric")
    sent = await code_of_sms(page)
    await code.fill(sent)
    await confirm(page)
    await expect(page.locator("h1")).to_have_text(words["received"])
    await expect(page.locator(".dates")).to_have_text(re.compile(f"{words['date']}.+{words['date']}", re.DOTALL))
    await page.get_by_role("link", name=words["record"], exact=True).click()
    await expect(page.get_by_role("heading", name=words["record"])).to_be_visible()
    row = page.locator("#record-list tbody tr")
    await expect(row).to_contain_text(words["amount"])
    await expect(row).to_contain_text("**** 0011")
    await _becomes(page, words["paid"], scripts=scripts)


async def _to_the_withdrawal_page(page: Page, words: dict[str, str]) -> None:
    await page.get_by_role("banner").get_by_role("link", name=words["fees"], exact=True).click()
    side = page.get_by_role("navigation", name=words["management"])
    await expect(side).to_contain_text(words["funds"])
    await side.get_by_role("link", name=words["top_up"], exact=True).click()
    await expect(page.locator("main").get_by_role("link", name=words["withdrawal"], exact=True)).to_be_visible()
    await side.get_by_role("link", name=words["overview"], exact=True).click()
    recharge = page.get_by_role("region", name=words["recharge"])
    await recharge.get_by_role("link", name=words["withdrawal"], exact=True).click()
    await expect(page.locator("h1")).to_have_text(words["withdrawal"])


async def _becomes(page: Page, status: str, *, scripts: bool) -> None:
    """With scripts the page changes by itself; without, when it is opened again."""
    badge = page.locator("#record-list .badge")
    if scripts:
        await expect(badge).to_have_text(status)
        return
    for _ in range(100):
        if await badge.inner_text() == status:
            return
        await page.wait_for_timeout(100)
        await page.reload()
    raise AssertionError(f"never {status}")


async def test_top_up_books_once_however_often_its_form_is_sent(visitors: Visitors) -> None:
    page = await visitors.customer("liu")
    await page.get_by_role("link", name="Fees", exact=True).click()
    await page.get_by_role("navigation", name="Billing Management").get_by_role("link", name="Top Up").click()
    reference = await page.locator("[name=reference]").input_value()
    await page.fill("#amount", "1,000.5")
    await page.get_by_role("button", name="Top Up").click()
    await expect(page.locator(".notice")).to_have_text("Your top-up was booked.")
    await expect(page.locator(".balance .big")).to_have_text("CNY 1,056.50")
    await page.goto("/billing/top-up")
    await page.evaluate("reference => { document.querySelector('[name=reference]').value = reference }", reference)
    await page.fill("#amount", "1000.50")
    await page.get_by_role("button", name="Top Up").click()
    await expect(page.locator(".balance .big")).to_have_text("CNY 1,056.50")
