"""Every refusal as a person meets it: in words, beside its field, all at once, with what was typed kept."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.console.browser import (
    Visitors,
    apply,
    code_of_sms,
    confirm,
    enter_code,
    errors_beside,
    withdraw,
)


async def test_all_errors_are_said_at_once_beside_their_fields_and_everything_typed_is_kept(
    visitors: Visitors,
) -> None:
    page = await visitors.customer("zhang")
    await page.goto("/billing/withdrawal/apply")
    typed = {"amount": "99999.00", "account_name": "张\u202e伟", "bank_name": "", "card_number": "123"}
    for name, value in typed.items():
        await page.fill(f"#{name}", value)
    await page.fill("#branch_name", "上海分行营业部")
    await confirm(page)
    assert await errors_beside(page) == {
        "amount": "At most CNY 1,080.00 can be withdrawn. CNY 200.00 stay in the account while a pay-as-you-use "
        "product is active. To withdraw everything, stop using those products first.",
        "account_name": "Enter 1 to 100 characters, all of them visible.",
        "bank_name": "Enter the name of the bank.",
        "card_number": "A bank card number is 12 to 19 digits.",
    }
    for name, value in (typed | {"branch_name": "上海分行营业部"}).items():
        await expect(page.locator(f"#{name}")).to_have_value(value)
    # The list of them has the focus, and each of its entries leads to the field.
    assert await page.evaluate("document.activeElement.id") == "errors"
    await expect(page).to_have_title(re.compile("^Error: "))
    await page.get_by_role("link", name="Enter the name of the bank.").click()
    assert await page.evaluate("document.activeElement.id") == "bank_name"


Form = dict[str, str | float | bool]
ENGLISH = {"Accept-Language": "en"}

REFUSED: dict[str, tuple[tuple[dict[str, str], str, str], ...]] = {
    "en": (
        ({"amount": "1080.01"}, "amount", "At most CNY 1,080.00 can be withdrawn."),
        ({"amount": "12,34"}, "amount", "Enter an amount of more than 0"),
        ({"account_name": "李四"}, "account_name", "Money goes only to a bank account in the name of the"),
        ({"card_number": "6230580000000100012"}, "card_number", "its check digit is wrong"),
    ),
    "zh": (
        ({"amount": "1080.01"}, "amount", "最多可提现 ¥1,080.00。"),
        ({"amount": "0"}, "amount", "请输入大于 0、最多两位小数的金额"),
        ({"account_name": "李四"}, "account_name", "只能提现到认证主体本人名下的银行账户。"),
        ({"card_number": "6230580000000100012"}, "card_number", "校验位不正确"),
    ),
}


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_what_the_rules_refuse_is_said_in_the_readers_language(visitors: Visitors, language: str) -> None:
    page = await visitors.customer("zhang", language)
    for changed, name, words in REFUSED[language]:
        await page.goto("/billing/withdrawal/apply?sample=yes")
        for field, value in ({"amount": "500"} | changed).items():
            await page.fill(f"#{field}", value)
        await confirm(page)
        errors = await errors_beside(page)
        assert list(errors) == [name]
        assert words in errors[name]


@pytest.mark.parametrize(
    ("key", "why", "what_to_do"),
    [
        ("li", "The account is suspended.", "Contact customer service"),
        ("wang", "The account is in arrears.", "Top up at least CNY 80.50 first."),
        ("chen", "Real-name verification is missing.", "Complete the verification of the account first."),
        ("zhao", "The account has no phone number.", "Add one in the account's settings first"),
    ],
)
async def test_a_blocker_says_what_to_do_about_it(visitors: Visitors, key: str, why: str, what_to_do: str) -> None:
    page = await visitors.customer(key)
    await page.goto("/billing/withdrawal")
    await expect(page.locator(".blockers")).to_contain_text(why)
    await expect(page.locator(".blockers")).to_contain_text(what_to_do)
    await expect(page.get_by_role("link", name="APPLY FOR WITHDRAWAL")).to_have_count(0)
    # Who comes to the form by its address reads the same, and no form.
    await page.goto("/billing/withdrawal/apply")
    await expect(page.locator(".blockers")).to_contain_text(why)
    await expect(page.locator("#amount")).to_have_count(0)


async def test_arrears_are_over_once_topped_up(visitors: Visitors) -> None:
    page = await visitors.customer("wang")
    await page.goto("/billing/withdrawal")
    await expect(page.locator(".sum td").first).to_have_text("−CNY 80.50")
    await page.locator(".blockers").get_by_role("link", name="Top Up").click()
    await page.fill("#amount", "500")
    await page.get_by_role("button", name="Top Up").click()
    await page.goto("/billing/withdrawal")
    await expect(page.locator(".sum .total td")).to_have_text("CNY 419.50")


async def test_vouchers_are_shown_and_never_count(visitors: Visitors) -> None:
    page = await visitors.customer("liu")
    await page.goto("/billing/withdrawal")
    await expect(page.locator(".sum .total td")).to_have_text("CNY 56.00")
    await expect(page.locator("#sum")).to_contain_text(
        "CNY 500.00 in vouchers. They can be used up, but never withdrawn"
    )


async def test_one_withdrawal_at_a_time_and_one_a_month(visitors: Visitors) -> None:
    """A second window with an old form is told what is under way, and where."""
    page = await visitors.customer("liu")
    other = await page.context.new_page()
    await other.goto("/billing/withdrawal/apply?sample=yes")
    withdrawal_id = await apply(page, "50")
    await other.fill("#amount", "5")
    await confirm(other)
    await expect(other.locator("#errors")).to_contain_text("Another withdrawal of this account is still in progress.")
    await other.get_by_role("link", name="See where it stands").click()
    assert other.url.endswith(withdrawal_id)
    await enter_code(page)
    await other.goto("/billing/withdrawal")
    await expect(other.locator(".blockers li").first).to_contain_text("Another withdrawal of this account")
    await expect(other.locator("#record-list .badge")).to_have_text("Paid")
    await expect(other.locator(".blockers")).to_contain_text("You can apply again from 1 ")


async def test_a_wrong_code_says_how_many_tries_are_left_and_the_fifth_ends_it(visitors: Visitors) -> None:
    page = await visitors.customer("liu")
    await apply(page, "10")
    right = await code_of_sms(page)
    wrong = "000000" if right != "000000" else "111111"
    for left in ("4 tries", "3 tries", "2 tries", "1 try"):
        await page.fill("#code", wrong)
        await confirm(page)
        assert await errors_beside(page) == {"code": f"This code is wrong. You have {left} left."}
    await page.fill("#code", "12 34")
    await confirm(page)
    assert await errors_beside(page) == {"code": "The code is six digits."}
    await page.fill("#code", wrong)
    await confirm(page)
    await expect(page.locator("h1")).to_have_text("Withdrawal of CNY 10.00")
    await expect(page.locator(".badge")).to_have_text("Expired")
    await expect(page.locator(".notice.bad")).to_have_text(
        "The verification code was wrong too often. You can apply again."
    )


async def test_another_code_can_be_sent_after_a_minute_and_the_page_counts_down(visitors: Visitors) -> None:
    page = await visitors.customer("liu")
    await apply(page, "10")
    resend = page.locator(".resend button")
    await expect(resend).to_be_disabled()
    await expect(resend).to_have_text(re.compile(r"Send another code in (5\d|60) s"))
    await expect(page.locator(".resend")).to_contain_text("4 more times.")
    # Who gets around the countdown is told to wait.
    await page.evaluate("document.querySelector('.resend').submit()")
    await expect(page.locator("#errors")).to_contain_text(re.compile(r"That was too often. Try again in \d+ seconds"))


async def test_a_form_sent_twice_makes_one_withdrawal_and_keeps_what_it_promised(visitors: Visitors) -> None:
    """Two clicks without scripts, a reload, a second window: the form has one key however it is sent."""
    page = await visitors.customer("liu", scripts=False)
    await page.goto("/billing/withdrawal/apply?sample=yes")
    await page.fill("#amount", "10")
    form: Form = {
        await field.get_attribute("name") or "": await field.input_value()
        for field in await page.locator("main form input").all()
    }
    await confirm(page)
    again = await page.request.post("/billing/withdrawal/apply", form=form)
    assert again.url == page.url
    changed = await page.request.post("/billing/withdrawal/apply", form=form | {"amount": "20"}, headers=ENGLISH)
    assert changed.status == 422
    assert "This form was sent before, with other values." in await changed.text()
    await page.goto("/billing/withdrawal")
    await expect(page.locator("#record-list tbody tr")).to_have_count(1)


async def test_somebody_elses_withdrawal_is_as_good_as_none(visitors: Visitors) -> None:
    page = await visitors.customer("liu")
    withdrawal_id = await withdraw(page, "10")
    other = await visitors.customer("zhang")
    for path in ("", "/verification", "/cancel", "/received"):
        answer = await other.goto(f"/billing/withdrawal/{withdrawal_id}{path}")
        assert answer is not None
        assert answer.status == 404
        await expect(other.locator("h1")).to_have_text("Nothing here")
