"""The API away, or asked too often: a page says so, nothing is lost, and what was typed is kept."""

from __future__ import annotations

from playwright.async_api import expect

from stack.local import LocalStack
from tests.console.browser import Visitors, code_of_sms, confirm
from tests.console.playing import PlayedApi


async def test_an_api_that_is_away_is_said_and_the_typed_form_is_sent_once_it_is_back(
    visitors: Visitors, pages_stack: LocalStack
) -> None:
    page = await visitors.customer("liu")
    await page.goto("/billing/withdrawal/apply?sample=yes")
    await page.fill("#amount", "10")
    pages_stack.api.kill()
    try:
        await confirm(page)
        await expect(page.locator("#errors")).to_contain_text("What you typed is still here")
        await expect(page.locator("#amount")).to_have_value("10")
        await expect(page.locator("#card_number")).to_have_value("6216610000000700078")
        other = await page.context.new_page()
        answer = await other.goto("/billing/overview")
        assert answer is not None
        assert answer.status == 503
        await expect(other.locator("main")).to_contain_text("Nothing is lost")
    finally:
        pages_stack.api.start_again()
        pages_stack.wait_until_ready()
    await confirm(page)
    await expect(page.locator("h1")).to_have_text("Phone Verification")
    await code_of_sms(page)
    await other.get_by_role("link", name="Try again").click()
    await expect(other.locator("h1")).to_have_text("Overview")


async def test_too_many_requests_are_said_with_the_time_to_wait(played: tuple[PlayedApi, Visitors]) -> None:
    """Limits a minute and a phone: the real ones would take their time to reach."""
    api, visitors = played
    page = await visitors.customer("zhang", fresh=False)
    await page.goto("/billing/withdrawal/apply?sample=yes")
    await page.fill("#amount", "10")
    api.refuse("POST", "/v1/withdrawals", 429, "too_many_requests", retry_after=1200)
    await confirm(page)
    await expect(page.locator("#errors")).to_contain_text("That was too often. Try again in 20 minutes.")
    await expect(page.locator("#amount")).to_have_value("10")
    api.refuse("GET", "/v1/accounts/demo_zhang", 429, "too_many_requests", retry_after=30)
    answer = await page.goto("/billing/overview")
    assert answer is not None
    assert answer.status == 429
    await expect(page.locator("main")).to_contain_text("Try again in 30 seconds.")


async def test_a_refusal_nobody_has_heard_of_is_still_a_page(played: tuple[PlayedApi, Visitors]) -> None:
    api, visitors = played
    page = await visitors.customer("zhang", "zh", fresh=False)
    await page.goto("/billing/withdrawal/apply?sample=yes")
    await page.fill("#amount", "10")
    reasons = [{"code": "moon_phase", "message": "<b>The moon</b>"}]
    api.refuse("POST", "/v1/withdrawals", 422, "not_eligible", errors=reasons)
    await confirm(page)
    await expect(page.locator("#errors")).to_contain_text("该金额无法提现。 请联系客服。")
    api.refuse("POST", "/v1/withdrawals", 418, "teapot")
    await confirm(page)
    await expect(page.locator("#errors")).to_contain_text("服务暂时无法访问")
