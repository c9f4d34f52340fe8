"""The finance desk: two people, four eyes, and what the API is asked in their name."""

from __future__ import annotations

from playwright.async_api import expect

from tests.console.browser import Visitors, errors_beside, withdraw
from tests.console.playing import PlayedApi, a_withdrawal, an_event


async def test_two_people_of_finance_approve_and_nobody_counts_twice(visitors: Visitors) -> None:
    customer = await visitors.customer("yuanshan")
    withdrawal_id = await withdraw(customer, "1000000")
    await expect(customer.locator("main")).to_contain_text(
        "Because of the amount, finance checks the application first."
    )
    await customer.goto(f"/billing/withdrawal/{withdrawal_id}")
    li, wang = await visitors.finance("li.wei"), await visitors.finance("wang.fang", "zh")
    row = li.locator("#queue tbody tr", has_text="CNY 1,000,000.00").first
    for words in ("远山数据集团有限公司", "中国工商银行", "**** 0038", "user_yuanshan", "0 of 2"):
        await expect(row).to_contain_text(words)
    await row.get_by_role("link").click()
    await li.fill("#note", "contract seen")
    await li.get_by_role("button", name="Approve").click()
    await expect(li.locator(".notice").first).to_contain_text("Another person has to approve as well.")
    await expect(li.locator(".notice.warn")).to_contain_text("nobody counts twice")
    await expect(li.get_by_role("button", name="Approve")).to_have_count(0)
    await wang.goto(f"/desk/withdrawals/{withdrawal_id}")
    await expect(wang.locator("main")).to_contain_text("1 / 2")
    await wang.get_by_role("button", name="通过").click()
    await expect(wang.locator(".notice").first).to_have_text("审批通过，提现继续进行。")
    # The customer reads that it was finance, never who.
    await expect(customer.locator("#standing .badge")).to_have_text("Paid")
    timeline = customer.locator(".timeline")
    await expect(timeline).to_contain_text("Approved by finance")
    await expect(timeline).not_to_contain_text("li.wei")


async def test_a_window_that_was_open_too_long_meets_the_four_eyes_in_words(visitors: Visitors) -> None:
    customer = await visitors.customer("yuanshan")
    withdrawal_id = await withdraw(customer, "600000")
    li = await visitors.finance("li.wei")
    await li.goto(f"/desk/withdrawals/{withdrawal_id}")
    other = await li.context.new_page()
    await other.goto(li.url)
    await li.get_by_role("button", name="Approve").click()
    await other.fill("#note", "once more")
    await other.get_by_role("button", name="Approve").click()
    await expect(other.locator("#errors")).to_contain_text("Another person has to do this")


async def test_a_rejection_gives_the_money_back_and_is_told_to_the_customer(visitors: Visitors) -> None:
    customer = await visitors.customer("yunshang")
    withdrawal_id = await withdraw(customer, "60000")
    await customer.goto(f"/billing/withdrawal/{withdrawal_id}")
    wang = await visitors.finance("wang.fang")
    await wang.goto(f"/desk/withdrawals/{withdrawal_id}")
    await wang.get_by_role("button", name="Reject").click()
    await expect(wang.locator(".badge").first).to_have_text("Not approved")
    await expect(customer.locator(".notice.bad")).to_have_text(
        "The application was not approved. The frozen amount is back in your account."
    )
    await customer.goto("/billing/withdrawal")
    await expect(customer.locator(".sum .total td")).to_have_text("CNY 86,000.00")


async def test_the_search_finds_by_withdrawal_and_account_and_puts_neither_into_the_address(visitors: Visitors) -> None:
    customer = await visitors.customer("liu")
    withdrawal_id = await withdraw(customer, "10")
    account_id = await customer.locator(".who").get_attribute("title")
    assert account_id is not None
    wang = await visitors.finance("wang.fang")
    await wang.goto("/desk/search")
    await wang.fill("#text", account_id)
    await wang.locator("main").get_by_role("button", name="Search").click()
    await expect(wang.locator("#found")).to_have_text("1 withdrawal found")
    assert account_id not in wang.url
    await wang.get_by_role("link", name="Open").click()
    assert wang.url.endswith(withdrawal_id)
    await wang.goto("/desk/search")
    await wang.fill("#text", f"withdrawal-{withdrawal_id}")
    await wang.locator("main").get_by_role("button", name="Search").click()
    assert wang.url.endswith(f"/desk/withdrawals/{withdrawal_id}")
    await wang.goto("/desk/search")
    await wang.fill("#text", "刘洋")
    await wang.locator("main").get_by_role("button", name="Search").click()
    assert "names and cards are encrypted" in (await errors_beside(wang))["text"]


async def test_differences_are_for_operations_only(visitors: Visitors) -> None:
    wang, li = await visitors.finance("wang.fang"), await visitors.finance("li.wei")
    await wang.goto("/desk/differences")
    await expect(wang.locator("main")).to_contain_text("looked after by people with the role operations")
    await li.goto("/desk/differences")
    await expect(li.locator("main")).to_contain_text("The books agree.")


async def test_a_resolution_needs_its_evidence_and_waits_for_a_second_person(
    played: tuple[PlayedApi, Visitors],
) -> None:
    """The real API comes to this after 15 working days; here it is played."""
    api, visitors = played
    stuck = a_withdrawal("under_review")
    path = f"/v1/withdrawals/{stuck['id']}"
    events = [
        an_event("applied", "awaiting_verification", "user_yunshang"),
        an_event("under_review", "under_review"),
    ]
    api.on("GET", "/v1/withdrawals", 200, {"items": [stuck], "next_cursor": None})
    api.on("GET", path, 200, stuck)
    api.on("GET", f"{path}/events", 200, {"items": events})
    api.on("POST", f"{path}/resolution", 200, stuck)
    li = await visitors.finance("li.wei")
    await li.get_by_role("link", name="Under review").click()
    await li.locator("tbody tr").get_by_role("link").click()
    await li.get_by_role("button", name="Record the resolution").click()
    await expect(li.locator("#errors a")).to_have_text(
        ["Choose what became of the transfer.", "Say what this is based on: the next reader has nothing else."]
    )
    assert not [asked for asked in api.asked if asked[1].endswith("/resolution")]
    await li.get_by_label("The bank has paid it").check()
    await li.fill("#evidence", "Statement of 20 November, line 7")
    await li.get_by_role("button", name="Record the resolution").click()
    sent = [asked[2] for asked in api.asked if asked[1] == f"{path}/resolution"]
    assert sent == [{"outcome": "paid", "evidence": "Statement of 20 November, line 7"}]
    await expect(li.locator(".notice").first).to_contain_text("a second person has to find the same")
    # Refused: the words, and what was typed is still there.
    api.refuse("POST", f"{path}/resolution", 403, "four_eyes_violated")
    await li.get_by_label("The bank has paid it").check()
    await li.fill("#evidence", "again")
    await li.get_by_role("button", name="Record the resolution").click()
    await expect(li.locator("#errors")).to_contain_text("Another person has to do this")
    await expect(li.locator("#evidence")).to_have_value("again")
    await expect(li.get_by_label("The bank has paid it")).to_be_checked()


async def test_a_difference_is_closed_with_a_word_about_it(played: tuple[PlayedApi, Visitors]) -> None:
    api, visitors = played
    difference = {
        "id": 7,
        "kind": "amount_differs",
        "entry": "payment",
        "client_ref": "0190c0de",
        "our_amount": "500.00",
        "bank_amount": "50.00",
        "owner": "operations",
        "found_at": "2026-11-23T02:00:00Z",
        "age_days": 2,
    }
    api.on("GET", "/v1/reconciliation", 200, {"items": [difference], "statements_read_until": "2026-11-22"})
    api.on("POST", "/v1/reconciliation/7/closing", 200, {})
    li = await visitors.finance("li.wei")
    await li.goto("/desk/differences")
    await expect(li.locator("main")).to_contain_text("The amounts differ")
    await expect(li.locator("main")).to_contain_text("CNY 50.00")
    await li.get_by_role("button", name="Close the difference").click()
    await expect(li.locator("#note-7-error")).to_have_text("Say how it was dealt with.")
    await li.fill("#note-7", "The bank corrected it on 24 November.")
    await li.get_by_role("button", name="Close the difference").click()
    await expect(li.locator(".notice")).to_have_text("The difference is closed.")
    assert ("POST", "/v1/reconciliation/7/closing", {"note": "The bank corrected it on 24 November."}) in api.asked
