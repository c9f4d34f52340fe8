"""Accounts: what can be withdrawn, and what billing tells us."""

from __future__ import annotations

from tests.api.console import Console, Json, codes, fields, refused, registration


async def test_an_account_says_what_can_be_withdrawn(console: Console) -> None:
    """Cash without vouchers (rule 1), less the reserve while a pay-as-you-use product is active (rule 4)."""
    await console.book("acct_1001", "vouchers", "100.00")
    assert await console.account() == {
        "account_id": "acct_1001",
        "currency": "CNY",
        "cash_balance": "1280.00",
        "voucher_balance": "100.00",
        "frozen": "0.00",
        "reserved": "200.00",
        "withdrawable": "1080.00",
        "blockers": [],
        "next_eligible_on": None,
    }


async def test_an_account_says_why_nothing_can_be_withdrawn(console: Console) -> None:
    """Every blocker at once, with a message each, and when the next month begins."""
    await console.verified()
    await console.open_account("acct_1001", verified=False, suspended=True, phone=None)
    account = await console.account()
    assert codes({"errors": account["blockers"]}) == [
        "withdrawal_in_progress",
        "already_withdrawn_this_month",
        "subject_not_verified",
        "account_suspended",
        "phone_missing",
    ]
    assert all(blocker["message"] for blocker in account["blockers"])
    assert account["next_eligible_on"] == "2026-12-01"


async def test_registering_again_replaces_what_is_known_and_leaves_the_money(console: Console) -> None:
    """Billing's PUT is repeatable."""
    for _ in range(2):
        answer = await console.as_billing("PUT", "/v1/accounts/acct_1001", json=registration("王五", phone=None))
        account = answer.json()
        assert (answer.status_code, account["cash_balance"], account["reserved"]) == (200, "1280.00", "0.00")
        assert codes({"errors": account["blockers"]}) == ["phone_missing"]
    console.holds()


async def test_a_reference_is_booked_once(console: Console) -> None:
    """201, then 200 with the same words; another amount under it is refused."""
    for what, kind in (("top-ups", "top_up"), ("charges", "charge"), ("vouchers", "voucher")):
        path, booking = f"/v1/accounts/acct_1001/{what}", {"reference": "inv-1", "amount": "12.5"}
        first = await console.as_billing("POST", path, json=booking)
        assert (first.status_code, first.json()) == (
            201,
            {"account_id": "acct_1001", "reference": "inv-1", "kind": kind, "amount": "12.50", "currency": "CNY"},
        )
        async with console.nothing_changes():
            again = await console.as_billing("POST", path, json=booking)
            assert (again.status_code, again.json()) == (200, first.json())
            other = await console.as_billing("POST", path, json=booking | {"amount": "12.51"})
            refused(other, 422, "reference_reused")


async def test_charges_take_vouchers_first_and_never_what_is_frozen(console: Console) -> None:
    """Cash may go below zero while a withdrawal is in flight; its amount stays frozen."""
    await console.verified()
    await console.book("acct_1001", "vouchers", "100.00")
    await console.book("acct_1001", "charges", "1000.00")
    account = await console.account()
    assert (account["voucher_balance"], account["frozen"], account["cash_balance"]) == ("0.00", "500.00", "380.00")
    assert account["withdrawable"] == "0.00"
    console.holds()


async def test_billing_of_another_shape_is_invalid(console: Console) -> None:
    """Strict types, closed shapes; an account id has its form already in the path."""
    good = registration()
    bad: list[tuple[Json, str]] = [
        (good | {"verified": "true"}, "verified"),
        (good | {"verified": 1}, "verified"),
        (good | {"subject_type": "robot"}, "subject_type"),
        (good | {"subject_name": " "}, "subject_name"),
        (good | {"phone": "12800001234"}, "phone"),
        (good | {"phone": "+8613800001234"}, "phone"),
        ({name: value for name, value in good.items() if name != "phone"}, "phone"),
        (good | {"cash": "1.00"}, "cash"),
    ]
    async with console.nothing_changes():
        for body, field in bad:
            answer = await console.as_billing("PUT", "/v1/accounts/acct_3", json=body)
            assert fields(refused(answer, 422, "invalid_request")) == [field], body
        for account_id in ("a" * 65, "acct.1", "%00", "账户"):
            answer = await console.as_billing("PUT", f"/v1/accounts/{account_id}", json=good)
            assert fields(refused(answer, 422, "invalid_request")) == ["account_id"]
        for booking, field in (
            ({"reference": "", "amount": "1.00"}, "reference"),
            ({"reference": "r" * 129, "amount": "1.00"}, "reference"),
            ({"reference": "two words", "amount": "1.00"}, "reference"),
            ({"reference": "r", "amount": "0.00"}, "amount"),
            ({"reference": "r", "amount": "-1.00"}, "amount"),
        ):
            answer = await console.as_billing("POST", "/v1/accounts/acct_1001/top-ups", json=booking)
            assert fields(refused(answer, 422, "invalid_request")) == [field], booking
