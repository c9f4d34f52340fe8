"""What keeps a page, a form and a session to the person they are for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

from stack.local import LocalStack
from tests.console.browser import Visitors, apply, confirm, log_in, withdraw
from tests.console.servers import another_console

Form = dict[str, str | float | bool]


async def test_a_form_without_our_token_does_nothing(visitors: Visitors) -> None:
    page = await visitors.customer("liu")
    await page.goto("/billing/top-up")
    form: Form = {"amount": "100", "reference": "forged-1", "form_token": "0" * 64}
    refused = await page.request.post("/billing/top-up", form=form)
    assert refused.status == 403
    # The token of another window's person is as good as none.
    other = await visitors.customer("liu")
    await other.goto("/billing/top-up")
    theirs = await other.locator("main [name=form_token]").input_value()
    assert (await page.request.post("/billing/top-up", form=form | {"form_token": theirs})).status == 403
    # Nor does the right one help a page of another site.
    own = await page.locator("main [name=form_token]").input_value()
    foreign = {"Sec-Fetch-Site": "cross-site"}
    answer = await page.request.post("/billing/top-up", form=form | {"form_token": own}, headers=foreign)
    assert answer.status == 403
    await page.goto("/billing/overview")
    await expect(page.locator(".balance .big")).to_have_text("CNY 56.00")


async def test_the_browser_gets_no_token_no_phone_and_no_inline_script(visitors: Visitors) -> None:
    page = await visitors.customer("liu")
    await withdraw(page, "10")
    answer = await page.goto("/billing/withdrawal")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    html = await answer.text()
    for forbidden in ("<script>", " onclick=", " style=", "Bearer", "eyJ"):
        assert forbidden not in html
    for cookie in await page.context.cookies():
        assert cookie["httpOnly"], cookie["name"]
        assert cookie["sameSite"] == "Lax"
        assert "eyJ" not in cookie["value"]
        assert "demo_liu" not in cookie["value"]
    for url in await _addresses(page):
        assert "demo_liu" not in url
        assert "177" not in url


async def _addresses(page: Page) -> list[str]:
    found: list[str] = await page.evaluate(
        "[...document.querySelectorAll('a, form')].map(one => one.getAttribute('href') ?? one.getAttribute('action'))"
    )
    return found


async def test_what_was_typed_outlives_the_session(visitors: Visitors, pages_stack: LocalStack, tmp_path: Path) -> None:
    """Somebody comes back from lunch to a half-filled form, confirms, logs in again, and goes on."""
    settings = {"api_url": pages_stack.api_url, "sandbox_url": pages_stack.sandbox_url, "session_idle_s": 3}
    async with another_console(tmp_path, **settings) as address:
        impatient = Visitors(visitors.browser, address)
        page = await impatient.customer("liu", "zh", fresh=False)
        await page.goto("/billing/withdrawal/apply")
        for name, typed in {
            "amount": "12",
            "bank_name": "交通银行",
            "branch_name": "南京鼓楼支行",
            "card_number": "1",
        }.items():
            await page.fill(f"#{name}", typed)
        await page.wait_for_timeout(4_500)
        await confirm(page)
        await expect(page.locator("h1")).to_have_text("登录控制台")
        await expect(page.locator(".notice.warn")).to_contain_text("登录已失效")
        await page.click("button[name=customer][value=liu]")
        await expect(page.locator("h1")).to_have_text("提现信息")
        await expect(page.locator(".notice")).to_contain_text("登录失效前填写的内容已恢复，尚未提交")
        await expect(page.locator("#bank_name")).to_have_value("交通银行")
        await expect(page.locator("#amount")).to_have_value("12")
        # It is there once, and for nobody else.
        await page.goto("/billing/withdrawal/apply")
        await expect(page.locator("#bank_name")).to_have_value("")
        await impatient.close()


async def test_a_live_page_does_not_keep_a_session_alive(
    visitors: Visitors, pages_stack: LocalStack, tmp_path: Path
) -> None:
    settings = {"api_url": pages_stack.api_url, "sandbox_url": pages_stack.sandbox_url, "session_idle_s": 3}
    async with another_console(tmp_path, **settings) as address:
        impatient = Visitors(visitors.browser, address)
        page = await impatient.customer("liu")
        withdrawal_id = await apply(page, "10")
        await page.goto(f"/billing/withdrawal/{withdrawal_id}")
        await page.wait_for_url("**/log-in?next=**")
        await impatient.close()


async def test_logging_in_leads_nowhere_but_into_this_console(visitors: Visitors) -> None:
    page = await visitors.window()
    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example"):
        await page.goto(f"/log-in?next={elsewhere}")
        await page.click("button[name=customer][value=liu]")
        assert page.url.endswith("/home")
        await page.get_by_role("button", name="Log out").click()


async def test_logging_out_ends_it_and_the_pages_are_for_their_people(visitors: Visitors) -> None:
    page = await visitors.window()
    await log_in(page, "liu")
    await page.goto("/desk")
    await expect(page.locator("h1")).to_have_text("Log in to the Console")
    await page.goto("/home")
    await page.get_by_role("button", name="Log out").click()
    await page.goto("/billing/overview")
    await expect(page.locator("h1")).to_have_text("Log in to the Console")


async def test_the_language_is_the_browsers_until_somebody_chooses(visitors: Visitors) -> None:
    page = await visitors.customer("liu", "zh")
    await page.goto("/billing/withdrawal?status=paid")
    await page.get_by_role("button", name="English").click()
    assert page.url.endswith("/billing/withdrawal?status=paid")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(page.locator("h1")).to_have_text("Withdrawal")


def _token(**claims: Any) -> str:
    """A token as the vendor's log-in would hand it over; here the sandbox's API is not there to look at it."""
    return f"x.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.x"


@pytest.mark.parametrize("path", ["/log-in", "/billing/top-up", "/sandbox/card"])
async def test_nothing_of_the_sandbox_is_there_in_production(tmp_path: Path, path: str) -> None:
    async with another_console(tmp_path, secure_cookies=True) as address, httpx.AsyncClient(trust_env=False) as http:
        bearer = {"Authorization": f"Bearer {_token(sub='user_1', scope='withdrawals', account_id='acct_1')}"}
        assert (await http.get(address + path, headers=bearer)).status_code == 404
        home = await http.get(f"{address}/home", headers=bearer)
        assert home.status_code == 200
        assert 'class="corner"' not in home.text
        assert "Secure" in home.headers["Set-Cookie"]
        assert "max-age" in home.headers["Strict-Transport-Security"]
        # Nobody in front of us, nobody is let in.
        assert (await http.get(f"{address}/home")).status_code == 403


async def test_in_production_the_api_gets_the_token_of_the_vendors_log_in(
    pages_stack: LocalStack, tmp_path: Path
) -> None:
    claims = {"sub": "user_9", "scope": "withdrawals", "account_id": "demo_production"}
    async with (
        another_console(tmp_path, api_url=pages_stack.api_url) as address,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        issued = await http.post(
            f"{pages_stack.sandbox_url}/_sandbox/token", json=claims | {"scope": "billing withdrawals"}
        )
        real = {"Authorization": f"Bearer {issued.json()['access_token']}"}
        account = {"subject_type": "person", "subject_name": "周周", "verified": True, "phone": "17700000000"}
        states = {"suspended": False, "pay_as_you_use": False}
        await http.put(f"{pages_stack.api_url}/v1/accounts/demo_production", json=account | states, headers=real)
        assert "CN" in (await http.get(f"{address}/billing/overview", headers=real | {"Accept-Language": "en"})).text
        # A forged one shows its own name at most: the API does not take it.
        forged = {"Authorization": f"Bearer {_token(**claims)}"}
        assert (await http.get(f"{address}/billing/overview", headers=forged)).status_code == 403
