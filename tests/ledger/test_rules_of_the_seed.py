"""The ten rules of the seed, where the ledger decides them, on the real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from domain.bank_card import BankCard, SubjectType
from domain.errors import CodeExpired, NotEligible, TooManyRequests, WithdrawalInProgress, WrongCode
from domain.verification import CODE_LIFE, RESEND_AFTER, SENDS, TRIES
from domain.withdrawal import Decision, Status
from domain.working_days import ArrivalWindow
from ledger.reads import RecordFilter
from tests.ledger.stories import (
    CUSTOMER,
    LARGE,
    PLENTY,
    REFUSED,
    RETURNED,
    SMALL,
    SUCCEEDED,
    Balances,
    Ledger,
    Stories,
)


def _reasons(stories: Stories, account_id: str, amount: int = SMALL, **card: str) -> dict[str, str]:
    before = stories.ledger.everything()
    with pytest.raises(NotEligible) as refused:
        stories.apply(account_id, amount, card=_card(**card))
    assert stories.ledger.everything() == before, "a refused application changes nothing"
    return {reason.code: reason.message for reason in refused.value.reasons}


def _card(account_name: str = "张三", card_number: str = "6230580000005000018") -> BankCard:
    return BankCard(account_name, "平安银行", "上海分行营业部", card_number)


def test_rule_1_vouchers_are_never_withdrawn(ledger: Ledger, stories: Stories) -> None:
    """An account with vouchers only can withdraw nothing, and its cash is not made more by them."""
    poor = stories.open_account(cash=0, vouchers=1_000_00)
    rich = stories.open_account(cash=300_00, vouchers=1_000_00)
    assert "amount_exceeds_withdrawable" in _reasons(stories, poor, 1)
    assert "amount_exceeds_withdrawable" in _reasons(stories, rich, 300_01)
    assert ledger.reads.account(poor, now=stories.now).withdrawable == 0
    assert ledger.reads.account(rich, now=stories.now).withdrawable == 300_00


def test_rule_1_a_withdrawal_leaves_the_vouchers_alone(ledger: Ledger, stories: Stories) -> None:
    """From application to paid and returned, no fen of the vouchers moves."""
    account_id = stories.open_account(cash=SMALL, vouchers=1_000_00)
    stories.bring_to(Status.RETURNED, account_id)
    assert ledger.balances(account_id) == Balances(available=SMALL, vouchers=1_000_00)


@pytest.mark.parametrize("status", [Status.PAID, Status.PROCESSING, Status.UNDER_REVIEW, Status.AWAITING_VERIFICATION])
def test_rule_2_in_flight_or_paid_uses_the_month_up(stories: Stories, status: Status) -> None:
    """A second application in the month is refused: as in progress, or as this month's second."""
    account_id = stories.open_account()
    began = stories.now
    withdrawal_id = stories.bring_to(status, account_id)
    stories.now = began + timedelta(days=1)
    if status is Status.PAID:
        assert list(_reasons(stories, account_id)) == ["already_withdrawn_this_month"]
    else:
        with pytest.raises(WithdrawalInProgress) as refused:
            stories.apply(account_id)
        assert refused.value.withdrawal_id == withdrawal_id


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.EXPIRED, Status.REJECTED, Status.FAILED, Status.RETURNED])
def test_rule_2_whatever_came_to_nothing_gives_the_month_back(stories: Stories, status: Status) -> None:
    """After it the customer may apply again in the same month, and be paid."""
    account_id = stories.open_account()
    stories.bring_to(status, account_id)
    stories.bring_to(Status.PAID, account_id)
    assert stories.now.month == 3


def test_rule_2_a_refused_application_gives_the_month_back(stories: Stories) -> None:
    """An application that the rules refused was none."""
    account_id = stories.open_account()
    assert _reasons(stories, account_id, PLENTY + 1)
    stories.bring_to(Status.PAID, account_id)


def test_rule_2_the_month_turns_at_midnight_in_shanghai(stories: Stories) -> None:
    """At 15:59:59 UTC on the last day it is still this month's second, one second later it is next month's first."""
    account_id = stories.open_account()
    stories.bring_to(Status.PAID, account_id)
    stories.now = datetime(2026, 3, 31, 15, 59, 59, tzinfo=UTC)
    assert "2026-04-01" in _reasons(stories, account_id)["already_withdrawn_this_month"]
    view = stories.ledger.reads.account(account_id, now=stories.now)
    assert view.next_eligible_on == date(2026, 4, 1)
    stories.now += timedelta(seconds=1)
    assert stories.ledger.reads.account(account_id, now=stories.now).next_eligible_on is None
    stories.bring_to(Status.PAID, account_id)


def test_rule_2_an_application_counts_for_the_month_it_was_made_in(stories: Stories) -> None:
    """Applied for on the last evening and paid in the next month, it leaves the next month free."""
    account_id = stories.open_account()
    stories.now = datetime(2026, 3, 31, 15, 58, tzinfo=UTC)
    withdrawal_id = stories.apply(account_id)
    stories.pass_time(minutes=5)
    stories.verify(withdrawal_id)
    stories.freeze(withdrawal_id)
    stories.answer(withdrawal_id, SUCCEEDED)
    stories.bring_to(Status.PAID, account_id)
    assert "already_withdrawn_this_month" in _reasons(stories, account_id)


def test_rule_2_a_return_in_a_later_month_takes_nothing_from_it(stories: Stories) -> None:
    """March's withdrawal returned in April gives March back; April's own stays the only one of April."""
    account_id = stories.open_account()
    first = stories.bring_to(Status.PAID, account_id)
    stories.now = datetime(2026, 4, 2, tzinfo=UTC)
    stories.bring_to(Status.PAID, account_id)
    stories.answer(first, RETURNED)
    assert list(_reasons(stories, account_id)) == ["already_withdrawn_this_month"]


def test_rule_3_the_amount_is_frozen_and_paid_out(ledger: Ledger, stories: Stories) -> None:
    """Before, frozen, after: only the amount moves, and it leaves the account once the bank said yes."""
    account_id = stories.open_account(cash=1_000_00, vouchers=50_00)
    withdrawal_id = stories.apply(account_id, 300_00)
    assert ledger.balances(account_id) == Balances(1_000_00, 0, 50_00)
    stories.verify(withdrawal_id)
    assert ledger.balances(account_id) == Balances(1_000_00, 0, 50_00)
    stories.freeze(withdrawal_id)
    assert ledger.balances(account_id) == Balances(700_00, 300_00, 50_00)
    stories.answer(withdrawal_id, SUCCEEDED)
    assert ledger.balances(account_id) == Balances(700_00, 0, 50_00)


def _refused_by_bank(stories: Stories, withdrawal_id: UUID) -> None:
    stories.decide(withdrawal_id)
    stories.answer(withdrawal_id, REFUSED)


def _returned_by_bank(stories: Stories, withdrawal_id: UUID) -> None:
    stories.decide(withdrawal_id)
    stories.answer(withdrawal_id, SUCCEEDED)
    stories.answer(withdrawal_id, RETURNED)


def _found_unpaid(stories: Stories, withdrawal_id: UUID) -> None:
    stories.decide(withdrawal_id)
    stories.let_window_end(withdrawal_id)
    for resolver in ("finance-1", "finance-2"):
        stories.resolve(withdrawal_id, "failed", resolver)


def _rejected(stories: Stories, withdrawal_id: UUID) -> None:
    stories.decide(withdrawal_id, decision=Decision.REJECT)


def _cancelled(stories: Stories, withdrawal_id: UUID) -> None:
    stories.cancel(withdrawal_id)


@pytest.mark.parametrize("fail", [_refused_by_bank, _returned_by_bank, _found_unpaid, _rejected, _cancelled])
def test_rule_3_exactly_the_amount_goes_back(ledger: Ledger, stories: Stories, fail: object) -> None:
    """Whichever way it fails, the amount and nothing else is back, also if the account was used meanwhile."""
    assert callable(fail)
    account_id = stories.open_account(cash=LARGE + 1_000_00)
    withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, account_id)
    assert ledger.balances(account_id) == Balances(1_000_00, LARGE)
    ledger.accounts.charge(account_id, "usage", 1_500_00, now=stories.now)
    assert ledger.balances(account_id) == Balances(-500_00, LARGE)
    fail(stories, withdrawal_id)
    assert ledger.balances(account_id) == Balances(LARGE - 500_00, 0)


def test_rule_4_the_reserve_stays_while_a_product_is_active(ledger: Ledger, stories: Stories) -> None:
    """200.00 stay, the refusal says how to get them too, and without the product everything can go."""
    account_id = stories.open_account(cash=1_000_00, pay_as_you_use=True)
    message = _reasons(stories, account_id, 800_01)["amount_exceeds_withdrawable"]
    assert "stop using those products" in message
    view = ledger.reads.account(account_id, now=stories.now)
    assert (view.reserved, view.withdrawable) == (200_00, 800_00)
    stories.register(account_id, pay_as_you_use=False)
    stories.bring_to(Status.PAID, account_id, 1_000_00)
    assert ledger.balances(account_id) == Balances()


def test_rule_4_the_reserve_is_checked_again_at_the_freeze(ledger: Ledger, stories: Stories) -> None:
    """A product started between application and freeze holds its 200.00 back: failed, with the reason."""
    account_id = stories.open_account(cash=1_000_00)
    withdrawal_id = stories.apply(account_id, 900_00)
    stories.verify(withdrawal_id)
    stories.register(account_id, pay_as_you_use=True)
    standing = stories.freeze(withdrawal_id)
    assert (standing.status, standing.failure_code) == (Status.FAILED, "amount_exceeds_withdrawable")
    assert ledger.balances(account_id) == Balances(available=1_000_00)


def test_rule_5_money_goes_only_to_the_subjects_own_bank_account(stories: Stories) -> None:
    """Another name is refused; the same name in another spelling is taken."""
    account_id = stories.open_account(subject_type=SubjectType.COMPANY, subject_name="ABC（上海）有限公司")
    assert list(_reasons(stories, account_id, account_name="АBC（上海）有限公司")) == ["bank_account_name_mismatch"]
    stories.apply(account_id, card=_card("ABC (上海) 有限公司"))


def test_rule_5_a_new_subject_does_not_get_the_old_ones_money(stories: Stories) -> None:
    """The name is compared again at the freeze: an account that changed hands meanwhile pays nobody."""
    account_id = stories.open_account()
    withdrawal_id = stories.apply(account_id)
    stories.verify(withdrawal_id)
    stories.register(account_id, subject_name="李四")
    assert stories.freeze(withdrawal_id).failure_code == "bank_account_name_mismatch"


def test_rule_6_the_window_counts_from_the_day_the_phone_was_verified(stories: Stories) -> None:
    """Not from the application and not from the freeze; by the Shanghai date."""
    account_id = stories.open_account()
    stories.now = datetime(2026, 11, 23, 15, 58, tzinfo=UTC)
    withdrawal_id = stories.apply(account_id)
    stories.now = datetime(2026, 11, 23, 16, 1, tzinfo=UTC)
    stories.verify(withdrawal_id)
    stories.pass_time(days=2)
    window = ArrivalWindow(date(2026, 12, 8), date(2026, 12, 15), provisional=False)
    assert stories.freeze(withdrawal_id).window == window
    assert stories.ledger.reads.withdrawal(withdrawal_id).window == window


def test_rule_8_the_code_goes_to_the_accounts_own_phone(ledger: Ledger, stories: Stories) -> None:
    """To the number registered when the customer applied, with six digits."""
    account_id = stories.open_account(phone="13912345678")
    withdrawal_id = stories.apply(account_id)
    stories.register(account_id, phone="13700000000")
    sms = ledger.verifications.issue_code(withdrawal_id, send_key="first", now=stories.now)
    assert sms.phone == "13912345678"
    assert len(sms.code) == 6
    assert sms.code.isascii()
    assert sms.code.isdigit()


def test_rule_8_without_the_right_code_nothing_is_frozen(ledger: Ledger, stories: Stories) -> None:
    """A freeze that is asked for before the code was right does nothing."""
    account_id = stories.open_account()
    withdrawal_id = stories.apply(account_id)
    stories.send_code(withdrawal_id)
    assert stories.freeze(withdrawal_id).status is Status.AWAITING_VERIFICATION
    assert ledger.balances(account_id) == Balances(available=PLENTY)


def test_rule_8_five_tries_and_no_more(ledger: Ledger, stories: Stories) -> None:
    """Each wrong try says how many are left; after the fifth not even the right code helps."""
    withdrawal_id = stories.apply(stories.open_account())
    code = stories.send_code(withdrawal_id)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    left = []
    for _ in range(TRIES):
        with pytest.raises(WrongCode) as refused:
            ledger.verifications.try_code(withdrawal_id, wrong, of=None, by=CUSTOMER, now=stories.now)
        left.append(refused.value.attempts_left)
    assert left == [4, 3, 2, 1, 0]
    with pytest.raises(CodeExpired):
        ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now)
    assert ledger.moves.standing(withdrawal_id).failure_code == "too_many_wrong_codes"


def test_rule_8_ten_minutes_and_no_longer(ledger: Ledger, stories: Stories) -> None:
    """Right until the last moment, expired at the tenth minute."""
    on_time, late = (stories.apply(stories.open_account()) for _ in range(2))
    codes = {one: stories.send_code(one) for one in (on_time, late)}
    stories.now += CODE_LIFE - timedelta(microseconds=1)
    assert ledger.verifications.try_code(on_time, codes[on_time], of=None, by=CUSTOMER, now=stories.now).verified
    stories.now += timedelta(microseconds=1)
    with pytest.raises(CodeExpired):
        ledger.verifications.try_code(late, codes[late], of=None, by=CUSTOMER, now=stories.now)
    assert ledger.verifications.expire(late, now=stories.now).failure_code == "code_expired"


def test_rule_8_a_new_code_after_a_minute_five_in_all(ledger: Ledger, stories: Stories) -> None:
    """Within 60 seconds it is too soon, and the sixth is one too many."""
    withdrawal_id = stories.apply(stories.open_account())
    for _ in range(SENDS):
        stories.send_code(withdrawal_id)
        stories.now += RESEND_AFTER - timedelta(seconds=1)
        with pytest.raises(TooManyRequests):
            stories.send_code(withdrawal_id)
        stories.pass_time(seconds=1)
    with pytest.raises(TooManyRequests) as refused:
        stories.send_code(withdrawal_id)
    assert refused.value.retry_after_s == 9 * 60, "no pause helps within the ten minutes of the fifth"


def test_rule_10_the_record_lists_every_application(ledger: Ledger, stories: Stories) -> None:
    """Whatever became of it, newest first, with all of its details but the card's and the phone's full numbers."""
    account_id = stories.open_account()
    statuses = [Status.CANCELLED, Status.EXPIRED, Status.REJECTED, Status.FAILED, Status.RETURNED, Status.PAID]
    ids = []
    for status in statuses:
        ids.append(stories.bring_to(status, account_id))
        stories.pass_time(seconds=1)
    listed = ledger.reads.withdrawals(RecordFilter(account_id=account_id), limit=100)
    assert [record.id for record in listed] == ids[::-1]
    assert [record.status for record in listed] == statuses[::-1]
    newest = listed[0]
    assert (newest.amount_fen, newest.account_name, newest.bank_name) == (SMALL, "张三", "平安银行")
    assert (newest.branch_name, newest.card_last4, newest.phone_masked) == (
        "上海分行营业部",
        "0018",
        "138****1234",
    )
    reasons = [[reason.code for reason in record.failure] for record in listed]
    assert reasons == [
        [], ["returned_by_bank"], ["bank_account_closed"], ["rejected_by_finance"], ["code_expired"], [],
    ]  # fmt: skip
