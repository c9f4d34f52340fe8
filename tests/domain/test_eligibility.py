"""May this account withdraw this amount? Every reason why not, at once."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bank_card import SubjectType
from domain.eligibility import Applicant, EligibilityRules

_MONTH = date(2026, 12, 1)
_RULES = EligibilityRules()
_GOOD = Applicant(
    account_id="acct_1001",
    subject_type=SubjectType.PERSON,
    subject_name="张三",
    verified=True,
    has_phone=True,
    suspended=False,
    pay_as_you_use=False,
    available=1_000_00,
    month_used=False,
)


def _codes(applicant: Applicant, *, amount: int = 1_000_00, account_name: str = "张三") -> list[str]:
    reasons = _RULES.reasons_against(applicant, amount=amount, account_name=account_name, month=_MONTH)
    return [reason.code for reason in reasons]


def test_a_good_account_may_withdraw_everything() -> None:
    """Without a product in use, all of the cash is withdrawable and nothing speaks against it."""
    assert _codes(_GOOD) == []
    assert _RULES.withdrawable(_GOOD) == 1_000_00
    assert _RULES.blockers(_GOOD, _MONTH) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"available": 999_99}, "amount_exceeds_withdrawable"),
        ({"month_used": True}, "already_withdrawn_this_month"),
        ({"verified": False}, "subject_not_verified"),
        ({"suspended": True}, "account_suspended"),
        ({"has_phone": False}, "phone_missing"),
        ({"subject_name": "李四"}, "bank_account_name_mismatch"),
    ],
)
def test_each_reason_is_given_alone(change: dict[str, Any], code: str) -> None:
    """One thing wrong is one reason, in the contract's word and in a sentence."""
    applicant = replace(_GOOD, **change)
    assert _codes(applicant) == [code]
    [reason] = _RULES.reasons_against(applicant, amount=1_000_00, account_name="张三", month=_MONTH)
    assert reason.message.endswith(".")


def test_arrears_are_told_beside_the_amount() -> None:
    """An account below zero can withdraw nothing, and is told both."""
    assert _codes(replace(_GOOD, available=-1), amount=1) == [
        "amount_exceeds_withdrawable",
        "account_in_arrears",
    ]
    assert _RULES.withdrawable(replace(_GOOD, available=-1)) == 0


def test_every_reason_is_given_at_once() -> None:
    """Whoever is refused learns all of it in one answer."""
    hopeless = replace(
        _GOOD, verified=False, has_phone=False, suspended=True, pay_as_you_use=True, available=-1, month_used=True
    )
    assert set(_codes(hopeless, account_name="李四")) == {
        "amount_exceeds_withdrawable",
        "already_withdrawn_this_month",
        "subject_not_verified",
        "account_suspended",
        "account_in_arrears",
        "bank_account_name_mismatch",
        "phone_missing",
    }


def test_rule_1_vouchers_are_not_even_looked_at() -> None:
    """The rules are not told of vouchers, so that none can ever count."""
    assert not [field.name for field in fields(Applicant) if "voucher" in field.name]


def test_rule_2_the_refusal_says_when_the_next_time_is() -> None:
    """From December it is January of the next year."""
    [reason] = _RULES.blockers(replace(_GOOD, month_used=True), _MONTH)
    assert "2027-01-01" in reason.message


@pytest.mark.parametrize(
    ("available", "withdrawable"),
    [(1_000_00, 800_00), (200_01, 1), (200_00, 0), (199_99, 0), (0, 0), (-50_00, 0)],
)
def test_rule_4_the_reserve_stays_while_a_product_is_active(available: int, withdrawable: int) -> None:
    """withdrawable = max(0, cash available − 200.00); to the fen, and never below nothing."""
    applicant = replace(_GOOD, pay_as_you_use=True, available=available)
    assert _RULES.withdrawable(applicant) == withdrawable
    assert _RULES.reserved(applicant) == 200_00
    assert "amount_exceeds_withdrawable" in _codes(applicant, amount=withdrawable + 1)
    if withdrawable:
        assert _codes(applicant, amount=withdrawable) == []


def test_rule_4_the_refusal_says_how_to_withdraw_everything() -> None:
    """It names what can be withdrawn, what stays, and that stopping the products frees it."""
    applicant = replace(_GOOD, pay_as_you_use=True)
    [reason] = _RULES.reasons_against(applicant, amount=1_000_00, account_name="张三", month=_MONTH)
    assert "800.00" in reason.message
    assert "200.00" in reason.message
    assert "stop using those products" in reason.message


def test_rule_4_nobody_is_told_to_stop_products_they_do_not_use() -> None:
    """Without an active product the refusal names the amount only."""
    [reason] = _RULES.reasons_against(_GOOD, amount=1_000_01, account_name="张三", month=_MONTH)
    assert "1000.00" in reason.message
    assert "stop" not in reason.message


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**15), st.booleans(), st.integers(0, 10**6))
def test_rule_4_holds_for_every_amount(available: int, amount: int, in_use: bool, reserve: int) -> None:
    """An amount is within the rules exactly if what stays behind is at least the reserve."""
    rules = EligibilityRules(reserve=reserve)
    applicant = replace(_GOOD, pay_as_you_use=in_use, available=available)
    reasons = rules.reasons_against(applicant, amount=amount, account_name="张三", month=_MONTH)
    assert (not reasons) == (available - amount >= (reserve if in_use else 0))


@pytest.mark.parametrize("account_name", ["张 三", "\u3000张三", "张·三"])
def test_rule_5_the_bank_account_is_compared_folded(account_name: str) -> None:
    """Spaces and dots in what the customer typed don't stand in the way."""
    assert _codes(_GOOD, account_name=account_name) == []
