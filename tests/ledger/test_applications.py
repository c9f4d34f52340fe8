"""An application is written down once per Idempotency-Key, and only if the rules say yes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import text

from domain.bank_card import SubjectType
from domain.errors import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
    NotEligible,
    NotFound,
    WithdrawalInProgress,
)
from domain.withdrawal import OPEN, Standing, Status
from ledger.applications import CLAIM, Applications, FirstAnswer
from tests.ledger.stories import CARD, CUSTOMER, HUGE, LARGE, PLENTY, SMALL, Balances, Ledger, Stories


def test_an_application_waits_for_its_code(ledger: Ledger, stories: Stories) -> None:
    """It is recorded with its month and event; no money moves and no code was sent."""
    account_id = stories.open_account()
    applied = ledger.applications.apply(stories.application(account_id, SMALL), now=stories.now)
    assert isinstance(applied, Standing)
    assert (applied.status, applied.account_id, applied.amount_fen) == (
        Status.AWAITING_VERIFICATION,
        account_id,
        SMALL,
    )
    assert (applied.verified, applied.code_sent, applied.window) == (False, False, None)
    assert applied == ledger.moves.standing(applied.withdrawal_id)
    assert ledger.balances(account_id) == Balances(available=PLENTY)
    [event] = ledger.reads.events(applied.withdrawal_id)
    assert (event.kind, event.actor, event.status) == ("applied", CUSTOMER, Status.AWAITING_VERIFICATION)


@pytest.mark.parametrize(("amount", "needed"), [(SMALL, 0), (50_000_00, 1), (LARGE, 1), (HUGE, 2)])
def test_an_application_knows_how_many_approvals_it_needs(stories: Stories, amount: int, needed: int) -> None:
    """By the policy at the time it was made."""
    withdrawal_id = stories.apply(stories.open_account(), amount)
    assert stories.ledger.moves.standing(withdrawal_id).approvals_needed == needed


def test_an_unknown_account_is_not_found(stories: Stories) -> None:
    """Nothing is written for it."""
    with pytest.raises(NotFound):
        stories.apply("acct_nobody")
    assert stories.ledger.count("withdrawals") == 0


@pytest.mark.parametrize(
    ("known", "code"),
    [
        ({"verified": False}, "subject_not_verified"),
        ({"suspended": True}, "account_suspended"),
        ({"phone": None}, "phone_missing"),
        ({"subject_name": "李四"}, "bank_account_name_mismatch"),
        ({"cash": SMALL - 1}, "amount_exceeds_withdrawable"),
    ],
)
def test_a_rule_against_it_refuses_it(stories: Stories, known: dict[str, object], code: str) -> None:
    """Each reason of the ledger's facts reaches the caller, and nothing is written."""
    account_id = stories.open_account(**known)  # type: ignore[arg-type]
    before = stories.ledger.everything()
    with pytest.raises(NotEligible) as refused:
        stories.apply(account_id)
    assert [reason.code for reason in refused.value.reasons] == [code]
    assert stories.ledger.everything() == before


def test_every_reason_comes_at_once(ledger: Ledger, stories: Stories) -> None:
    """All seven, of facts that lie in three tables."""
    account_id = stories.open_account(cash=SMALL)
    stories.bring_to(Status.PAID, account_id)
    ledger.accounts.charge(account_id, "usage", 1, now=stories.now)
    stories.register(account_id, verified=False, suspended=True, phone=None, subject_name="李四")
    with pytest.raises(NotEligible) as refused:
        stories.apply(account_id)
    assert {reason.code for reason in refused.value.reasons} == {
        "amount_exceeds_withdrawable",
        "already_withdrawn_this_month",
        "subject_not_verified",
        "account_suspended",
        "account_in_arrears",
        "bank_account_name_mismatch",
        "phone_missing",
    }


def test_a_persons_card_must_pass_luhn(ledger: Ledger, stories: Stories) -> None:
    """A typing error is told as such; a company's account number carries no such digit, nor do test cards."""
    typo = replace(CARD, card_number="6230580000005000017")
    person = stories.open_account()
    with pytest.raises(InvalidRequest) as refused:
        stories.apply(person, card=typo)
    assert [error["field"] for error in refused.value.errors] == ["bank_card.card_number"]
    stories.apply(stories.open_account(subject_type=SubjectType.COMPANY), card=typo)
    lenient: Applications = replace(ledger.applications, test_cards=frozenset({typo.card_number}))
    assert isinstance(lenient.apply(stories.application(person, SMALL, card=typo), now=stories.now), Standing)


@pytest.mark.parametrize("status", sorted(OPEN))
def test_one_application_at_a_time(stories: Stories, status: Status) -> None:
    """Also in the next month, the second is refused with the first one's id."""
    account_id = stories.open_account()
    first = stories.bring_to(status, account_id)
    stories.pass_time(days=31)
    with pytest.raises(WithdrawalInProgress) as refused:
        stories.apply(account_id)
    assert refused.value.withdrawal_id == first


def test_the_first_answer_is_given_again(ledger: Ledger, stories: Stories) -> None:
    """The same key and body get the very same answer, however the withdrawal stands by then."""
    account_id = stories.open_account()
    application = stories.application(account_id, SMALL, key="once")
    applied = ledger.applications.apply(application, now=stories.now)
    assert isinstance(applied, Standing)
    answer = FirstAnswer(201, {"id": str(applied.withdrawal_id), "account_name": "张三"})
    ledger.applications.remember(account_id, "once", answer)
    ledger.applications.remember(account_id, "once", FirstAnswer(202, {}))
    stories.cancel(applied.withdrawal_id)
    stories.pass_time(days=40)
    before = ledger.everything()
    assert ledger.applications.apply(application, now=stories.now) == answer
    assert ledger.everything() == before


def test_an_answer_is_kept_encrypted(ledger: Ledger, stories: Stories) -> None:
    """It holds the customer's name, and the table shows none of it."""
    account_id = stories.open_account()
    ledger.applications.apply(stories.application(account_id, SMALL, key="once"), now=stories.now)
    ledger.applications.remember(account_id, "once", FirstAnswer(201, {"account_name": "张三"}))
    with ledger.database.transaction() as connection:
        body = connection.execute(text("SELECT answer_body FROM idempotency_keys")).scalar_one()
    assert "张三".encode() not in bytes(body)
    assert b"account_name" not in bytes(body)


def test_a_key_is_in_use_until_it_is_answered(ledger: Ledger, stories: Stories) -> None:
    """While the first is being answered a repeat waits; when that took too long, it takes over the same one."""
    application = stories.application(stories.open_account(), SMALL)
    first = ledger.applications.apply(application, now=stories.now)
    with pytest.raises(IdempotencyKeyInUse):
        ledger.applications.apply(application, now=stories.now + CLAIM / 2)
    assert ledger.applications.apply(application, now=stories.now + CLAIM) == first
    with pytest.raises(IdempotencyKeyInUse):
        ledger.applications.apply(application, now=stories.now + CLAIM * 1.5)
    assert ledger.count("withdrawals") == 1


def test_a_key_belongs_to_one_body(ledger: Ledger, stories: Stories) -> None:
    """The same key with another body is refused, answered or not."""
    account_id = stories.open_account()
    ledger.applications.apply(stories.application(account_id, SMALL, key="once"), now=stories.now)
    other = stories.application(account_id, SMALL + 1, key="once")
    for _ in range(2):
        with pytest.raises(IdempotencyKeyReused):
            ledger.applications.apply(other, now=stories.now)
        ledger.applications.remember(account_id, "once", FirstAnswer(201, {}))


def test_a_refused_application_uses_no_key_up(ledger: Ledger, stories: Stories) -> None:
    """After a top-up the same call with the same key goes through."""
    account_id = stories.open_account(cash=0)
    application = stories.application(account_id, SMALL, key="once")
    with pytest.raises(NotEligible):
        ledger.applications.apply(application, now=stories.now)
    ledger.accounts.top_up(account_id, "T-1", SMALL, now=stories.now)
    assert isinstance(ledger.applications.apply(application, now=stories.now), Standing)


def test_the_same_key_of_two_accounts_is_two_keys(ledger: Ledger, stories: Stories) -> None:
    """Nobody gets another customer's answer by guessing a key."""
    for _ in range(2):
        application = stories.application(stories.open_account(), SMALL, key="once")
        assert isinstance(ledger.applications.apply(application, now=stories.now), Standing)
    assert ledger.count("withdrawals") == 2


def test_the_month_is_the_shanghai_month_of_the_application(ledger: Ledger, stories: Stories) -> None:
    """Stored once, as its first day."""
    stories.now = stories.now.replace(month=4, day=30, hour=16)
    stories.apply(stories.open_account())
    with ledger.database.transaction() as connection:
        assert connection.execute(text("SELECT month FROM withdrawals")).scalar_one() == date(2026, 5, 1)
