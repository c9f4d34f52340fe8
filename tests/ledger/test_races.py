"""Threads against the real server: whoever comes at once, it ends as if they had come one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import text

from domain.errors import (
    CodeExpired,
    FourEyesViolated,
    IdempotencyKeyInUse,
    NotPossibleNow,
    Refusal,
    WithdrawalInProgress,
    WrongCode,
)
from domain.withdrawal import BankAnswer, Standing, Status
from ledger.transfers import TransferOrder
from tests.ledger.stories import (
    CUSTOMER,
    HUGE,
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

_CROWD = 16
# Enough for each of these to have failed when the lock it relies on was taken away.
_ROUNDS = 6
_ROUNDS_OF_TWO = 25


def _at_once(calls: Sequence[Callable[[], object]]) -> list[object]:
    """What each call returned or was refused with; any other error is raised here."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait(10)
        try:
            return call()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def _kinds(results: list[object]) -> Counter[str]:
    return Counter(type(result).__name__ for result in results)


def test_one_key_makes_one_application(ledger: Ledger, stories: Stories) -> None:
    """A double click times eight: one is written down, the others learn that it is being answered."""
    for _ in range(_ROUNDS):
        application = stories.application(stories.open_account(), SMALL)
        apply = partial(ledger.applications.apply, application, now=stories.now)
        results = _at_once([apply] * _CROWD)
        assert _kinds(results) == {"Standing": 1, IdempotencyKeyInUse.__name__: _CROWD - 1}
    assert ledger.count("withdrawals") == ledger.count("idempotency_keys") == _ROUNDS


def test_many_keys_make_one_open_application(ledger: Ledger, stories: Stories) -> None:
    """Sixteen tabs with a key each: one is open, the others are told its id."""
    for _ in range(_ROUNDS):
        account_id = stories.open_account()
        applications = [stories.application(account_id, SMALL) for _ in range(_CROWD)]
        results = _at_once([partial(ledger.applications.apply, one, now=stories.now) for one in applications])
        assert _kinds(results) == {"Standing": 1, WithdrawalInProgress.__name__: _CROWD - 1}
        [made] = [result.withdrawal_id for result in results if isinstance(result, Standing)]
        assert {r.withdrawal_id for r in results if isinstance(r, WithdrawalInProgress)} == {made}


def test_the_same_top_up_is_booked_once(ledger: Ledger, stories: Stories) -> None:
    """Billing that sends a reference many times at once books it once."""
    for _ in range(_ROUNDS):
        account_id = stories.open_account(cash=0)
        top_up = partial(ledger.accounts.top_up, account_id, "T-1", 100_00, now=stories.now)
        results = _at_once([top_up] * _CROWD)
        assert Counter(results) == {True: 1, False: _CROWD - 1}
        assert ledger.balances(account_id) == Balances(available=100_00)


def test_charges_at_once_use_the_vouchers_up_once(ledger: Ledger, stories: Stories) -> None:
    """No two charges take the same voucher, and none takes more than there is."""
    for _ in range(_ROUNDS):
        account_id = stories.open_account(cash=100_00, vouchers=50_00)
        charges = [
            partial(ledger.accounts.charge, account_id, f"U-{number}", 10_00, now=stories.now)
            for number in range(_CROWD)
        ]
        assert set(_at_once(charges)) == {True}
        assert ledger.balances(account_id) == Balances(available=150_00 - _CROWD * 10_00)


def test_registering_an_account_at_once_makes_one(ledger: Ledger, stories: Stories) -> None:
    """The first call for an account may come twice; a freeze never sees half of a registration."""
    for number in range(_ROUNDS):
        registration = stories.registration(f"new_{number}")
        register = partial(ledger.accounts.register, registration, now=stories.now)
        assert set(_at_once([register] * _CROWD)) == {None}
    assert ledger.count("accounts") == ledger.count("balances") == _ROUNDS


def test_a_freeze_and_a_charge_take_turns(ledger: Ledger, stories: Stories) -> None:
    """Where the charge is first, the rules see it and nothing is frozen; frozen money is never charged."""
    order = text("SELECT kind FROM transactions WHERE account_id = :account_id AND kind <> 'top_up' ORDER BY id")
    for _ in range(_ROUNDS_OF_TWO):
        account_id = stories.open_account(cash=SMALL)
        withdrawal_id = stories.apply(account_id)
        stories.verify(withdrawal_id)
        charge = partial(ledger.accounts.charge, account_id, "usage", 1, now=stories.now)
        _at_once([partial(stories.freeze, withdrawal_id), charge])
        with ledger.database.transaction() as connection:
            kinds = list(connection.execute(order, {"account_id": account_id}).scalars())
        if ledger.moves.standing(withdrawal_id).status is Status.PROCESSING:
            assert kinds == ["freeze", "charge"]
            assert ledger.balances(account_id) == Balances(-1, SMALL)
        else:
            assert kinds == ["charge"]
            assert ledger.balances(account_id) == Balances(SMALL - 1)


def test_one_verified_withdrawal_is_frozen_once(ledger: Ledger, stories: Stories) -> None:
    """A freeze that two workers carry out at once moves the amount once."""
    for _ in range(_ROUNDS):
        account_id = stories.open_account()
        withdrawal_id = stories.apply(account_id)
        stories.verify(withdrawal_id)
        assert _kinds(_at_once([partial(stories.freeze, withdrawal_id)] * _CROWD)) == {"Standing": _CROWD}
        assert ledger.balances(account_id) == Balances(PLENTY - SMALL, SMALL)
        assert stories.event_kinds(withdrawal_id).count("frozen") == 1


@pytest.mark.parametrize("amount", [SMALL, LARGE])
def test_a_cancel_and_a_freeze_take_turns(ledger: Ledger, stories: Stories, amount: int) -> None:
    """Cancelled with everything given back, or, where no approval is waited for, too late to cancel."""
    for _ in range(_ROUNDS_OF_TWO):
        account_id = stories.open_account()
        withdrawal_id = stories.apply(account_id, amount)
        stories.verify(withdrawal_id)
        calls = [partial(stories.freeze, withdrawal_id), partial(stories.cancel, withdrawal_id)]
        _, cancelled = _at_once(calls)
        status = ledger.moves.standing(withdrawal_id).status
        if isinstance(cancelled, NotPossibleNow):
            assert (status, amount) == (Status.PROCESSING, SMALL)
            assert ledger.balances(account_id) == Balances(PLENTY - SMALL, SMALL)
        else:
            assert status is Status.CANCELLED
            assert ledger.balances(account_id) == Balances(PLENTY)


def test_a_cancel_and_an_approval_take_turns(ledger: Ledger, stories: Stories) -> None:
    """One of them is refused: never is money given back that the bank will be asked to pay."""
    for _ in range(_ROUNDS_OF_TWO):
        account_id = stories.open_account()
        withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, account_id)
        results = _at_once([partial(stories.cancel, withdrawal_id), partial(stories.decide, withdrawal_id)])
        assert _kinds(results) == {"Standing": 1, NotPossibleNow.__name__: 1}
        status = ledger.moves.standing(withdrawal_id).status
        asked = ledger.transfers.prepare(withdrawal_id, now=stories.now)
        assert (asked is not None) == (status is Status.PROCESSING)
        assert ledger.balances(account_id).frozen == (LARGE if asked else 0)


@pytest.mark.parametrize("answer", [SUCCEEDED, RETURNED])
def test_settling_and_finances_unfreezing_take_turns(ledger: Ledger, stories: Stories, answer: BankAnswer) -> None:
    """The bank's yes and finance's word that it failed: the first one moves the money, the second does not."""
    for _ in range(_ROUNDS_OF_TWO // 2):
        account_id = stories.open_account()
        withdrawal_id = stories.bring_to(Status.UNDER_REVIEW, account_id)
        _, resolved = _at_once(
            [
                partial(ledger.transfers.record_answer, withdrawal_id, answer, now=stories.now),
                partial(stories.resolve, withdrawal_id, "failed"),
            ]
        )
        status = ledger.moves.standing(withdrawal_id).status
        if isinstance(resolved, NotPossibleNow):
            assert status is (Status.PAID if answer is SUCCEEDED else Status.RETURNED)
        else:
            assert status is Status.FAILED
            assert stories.event_kinds(withdrawal_id)[-1] == "bank_contradicts"
        paid = status is Status.PAID
        assert ledger.balances(account_id) == Balances(PLENTY - SMALL if paid else PLENTY)


def test_settling_and_unfreezing_take_turns(ledger: Ledger, stories: Stories) -> None:
    """Two answers of the bank that exclude each other: one moves the money, the other is a contradiction."""
    for _ in range(_ROUNDS_OF_TWO):
        account_id = stories.open_account()
        withdrawal_id = stories.bring_to(Status.PROCESSING, account_id)
        ledger.transfers.prepare(withdrawal_id, now=stories.now)
        answers = (SUCCEEDED, REFUSED)
        _at_once([partial(ledger.transfers.record_answer, withdrawal_id, a, now=stories.now) for a in answers])
        status = ledger.moves.standing(withdrawal_id).status
        assert status in (Status.PAID, Status.FAILED)
        paid = status is Status.PAID
        assert ledger.balances(account_id) == Balances(PLENTY - SMALL if paid else PLENTY)
        assert stories.event_kinds(withdrawal_id)[-1] == "bank_contradicts"


@pytest.mark.parametrize("answer", [SUCCEEDED, REFUSED, RETURNED])
def test_the_same_answer_many_times_at_once_moves_money_once(
    ledger: Ledger, stories: Stories, answer: BankAnswer
) -> None:
    """Notification, sweep and timer may all bring it."""
    for _ in range(_ROUNDS // 2):
        account_id = stories.open_account()
        withdrawal_id = stories.bring_to(Status.PROCESSING, account_id)
        prepare = partial(ledger.transfers.prepare, withdrawal_id, now=stories.now)
        orders = [order for order in _at_once([prepare] * _CROWD) if isinstance(order, TransferOrder)]
        assert Counter(order.asked_before for order in orders) == {False: 1, True: _CROWD - 1}
        record = partial(ledger.transfers.record_answer, withdrawal_id, answer, now=stories.now)
        assert _kinds(_at_once([record] * _CROWD)) == {"Standing": _CROWD}
        paid = answer is SUCCEEDED
        assert ledger.balances(account_id) == Balances(PLENTY - SMALL if paid else PLENTY)


def test_two_approvers_at_once_are_two(ledger: Ledger, stories: Stories) -> None:
    """Both words count, and the second of them lets it go on."""
    for _ in range(_ROUNDS_OF_TWO):
        withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, amount=HUGE)
        results = _at_once([partial(stories.decide, withdrawal_id, f"finance-{n}") for n in (1, 2)])
        assert _kinds(results) == {"Standing": 2}
        standing = ledger.moves.standing(withdrawal_id)
        assert (standing.status, standing.approvals_given) == (Status.PROCESSING, 2)


def test_the_same_approver_at_once_is_one(ledger: Ledger, stories: Stories) -> None:
    """However many windows they approve in, they count once."""
    for _ in range(_ROUNDS):
        withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, amount=HUGE)
        results = _at_once([partial(stories.decide, withdrawal_id, "finance-1")] * _CROWD)
        assert _kinds(results) == {"Standing": 1, FourEyesViolated.__name__: _CROWD - 1}
        standing = ledger.moves.standing(withdrawal_id)
        assert (standing.status, standing.approvals_given) == (Status.AWAITING_APPROVAL, 1)


def test_fifty_wrong_codes_at_once_use_five_tries(ledger: Ledger, stories: Stories) -> None:
    """Guessing in parallel buys no sixth guess."""
    for _ in range(2):
        withdrawal_id = stories.apply(stories.open_account())
        code = int(stories.send_code(withdrawal_id))
        guesses = [f"{(code + offset) % 1_000_000:06}" for offset in range(1, 51)]
        results = _at_once(
            [
                partial(ledger.verifications.try_code, withdrawal_id, guess, of=None, by=CUSTOMER, now=stories.now)
                for guess in guesses
            ]
        )
        left = sorted(result.attempts_left for result in results if isinstance(result, WrongCode))
        assert left == [0, 1, 2, 3, 4]
        assert _kinds(results) == {WrongCode.__name__: 5, CodeExpired.__name__: 45}
        assert ledger.moves.standing(withdrawal_id).status is Status.EXPIRED
