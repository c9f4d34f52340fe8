"""Whatever happens in whatever order, the ledger does what a plain model of it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from domain.shanghai import end_of
from domain.withdrawal import Decision, Status, TransferState
from ledger.invariants import violations
from tests.ledger.modelled import Modelled, Withdrawal
from tests.ledger.stories import CUSTOMER, NOW, Ledger, Stories

_ACCOUNTS = 2
_PEOPLE = st.sampled_from(["finance-1", "finance-2", "finance-3", CUSTOMER])
_YUAN = st.sampled_from([1, 99_99, 100_00, 200_00, 500_00, 60_000_00, 600_000_00])
_ANSWERS = st.sampled_from([state for state in TransferState if state is not TransferState.PREPARED])
_WHICH = st.integers(0, 7)


class BookMachine(RuleBasedStateMachine):
    """Two customers, finance, billing and a bank that says anything at any time."""

    told_on: ClassVar[Stories]

    def __init__(self) -> None:
        super().__init__()
        self.modelled = Modelled(replace(self.told_on, now=NOW))

    def _newest(self, which: int) -> Withdrawal:
        """Most often one of the newest two, which are where something can happen."""
        of = self.modelled.withdrawals
        return of[-1 - min(which // 3, len(of) - 1)]

    @initialize(cash=st.tuples(*[st.sampled_from([0, 200_00, 1_000_00, 2_000_000_00])] * _ACCOUNTS))
    def open_accounts(self, cash: tuple[int, ...]) -> None:
        for fen in cash:
            self.modelled.open_account(fen)

    @rule(
        which=st.integers(0, _ACCOUNTS - 1),
        kind=st.sampled_from(["top_up", "grant_voucher", "charge"]),
        reference=st.sampled_from("abc"),
        amount=_YUAN,
    )
    def book(self, which: int, kind: str, reference: str, amount: int) -> None:
        self.modelled.book(self.modelled.accounts[which], kind, reference, amount)

    @rule(which=st.integers(0, _ACCOUNTS - 1))
    def switch_product(self, which: int) -> None:
        self.modelled.switch_product(self.modelled.accounts[which])

    @rule(which=st.integers(0, _ACCOUNTS - 1), amount=_YUAN)
    def apply(self, which: int, amount: int) -> None:
        self.modelled.apply(self.modelled.accounts[which], amount)

    @rule(
        which=st.integers(0, _ACCOUNTS - 1),
        amount=st.sampled_from([500_00, 60_000_00, 600_000_00]),
        steps=st.sampled_from([0, 1, 2, 3, 4, 5, 5, 6, 7, 7, 7]),
        state=_ANSWERS,
        word=st.sampled_from([Decision.APPROVE, Decision.APPROVE, Decision.REJECT]),
        minutes=st.sampled_from([0, 0, 0, 11]),
    )
    def go_on(self, which: int, amount: int, steps: int, state: TransferState, word: Decision, minutes: int) -> None:
        """As it usually goes, from wherever the account's newest one stands: few runs would get far without it."""
        modelled, account = self.modelled, self.modelled.accounts[which]
        mine = [w for w in modelled.withdrawals if w.account is account]
        if not mine or Status(mine[-1].status).is_final:
            modelled.book(account, "top_up", f"for {len(modelled.withdrawals)}", amount + 200_00)
            new = modelled.apply(account, amount)
            mine += [new] if new else []
        if mine:
            for step in (
                lambda w: self._verify(w, minutes),
                modelled.freeze,
                lambda w: self._decide(w, word),
                modelled.prepare,
                lambda w: modelled.answer(w, state),
                self._let_window_end,
                lambda w: self._resolve(w, "paid" if amount == 500_00 else "failed"),
            )[:steps]:
                step(mine[-1])

    def _verify(self, w: Withdrawal, minutes: int) -> None:
        self.modelled.send_code(w)
        self.modelled.stories.pass_time(minutes=minutes)
        self.modelled.try_code(w, right=True)
        self.modelled.expire(w)

    def _decide(self, w: Withdrawal, word: Decision) -> None:
        for number in range(1, 1 + w.approvals_needed):
            self.modelled.decide(w, f"finance-{number}", word)

    def _resolve(self, w: Withdrawal, outcome: str) -> None:
        for number in (1, 2) if w.approvals_needed else (1,):
            self.modelled.resolve(w, f"finance-{number}", outcome)

    def _let_window_end(self, w: Withdrawal) -> None:
        if w.status == "processing" and w.latest is not None:
            self.modelled.stories.now = max(self.modelled.stories.now, end_of(w.latest))
        self.modelled.review(w)

    @rule(minutes=st.sampled_from([1, 1, 5, 10, 60 * 14, 60 * 24 * 10, 60 * 24 * 25]))
    def pass_time(self, minutes: int) -> None:
        self.modelled.stories.pass_time(minutes=minutes)

    @precondition(lambda self: self.modelled.withdrawals)
    @rule(which=_WHICH, right=st.booleans())
    def try_code(self, which: int, right: bool) -> None:
        self.modelled.try_code(self._newest(which), right=right)

    @precondition(lambda self: self.modelled.withdrawals)
    @rule(
        which=_WHICH,
        step=st.sampled_from(["send_code", "expire", "check_eligibility", "freeze", "cancel", "prepare", "review"]),
    )
    def take_a_step(self, which: int, step: str) -> None:
        move: Callable[[Withdrawal], Any] = getattr(self.modelled, step)
        move(self._newest(which))

    @precondition(lambda self: self.modelled.withdrawals)
    @rule(which=_WHICH, approver=_PEOPLE, decision=st.sampled_from(Decision))
    def decide(self, which: int, approver: str, decision: Decision) -> None:
        self.modelled.decide(self._newest(which), approver, decision)

    @precondition(lambda self: self.modelled.withdrawals)
    @rule(which=_WHICH, state=_ANSWERS)
    def answer(self, which: int, state: TransferState) -> None:
        self.modelled.answer(self._newest(which), state)

    @precondition(lambda self: self.modelled.withdrawals)
    @rule(which=_WHICH, resolver=_PEOPLE, outcome=st.sampled_from(["paid", "failed"]))
    def resolve(self, which: int, resolver: str, outcome: str) -> None:
        """After a review that began if the window is over."""
        self.modelled.review(self._newest(which))
        self.modelled.resolve(self._newest(which), resolver, outcome)

    @rule()
    def repeat_the_last_instruction(self) -> None:
        """With the same operation key, however long ago it was: nothing changes."""
        self.modelled.again()

    @invariant()
    def both_say_the_same(self) -> None:
        self.modelled.check()

    def teardown(self) -> None:
        """However it came, nothing is violated."""
        assert violations(self.modelled.stories.ledger.database) == []


def test_the_ledger_does_what_the_model_does(ledger: Ledger, stories: Stories) -> None:
    """Balances and statuses agree after each of some 1,800 steps, and every invariant holds after each run."""

    class OnThisLedger(BookMachine):
        told_on = stories

    run_state_machine_as_test(OnThisLedger, settings=settings(max_examples=60, stateful_step_count=30))
    with ledger.database.transaction() as connection:
        reached = connection.execute(text("SELECT DISTINCT status FROM withdrawal_events")).scalars().all()
    assert len(reached) > 7, "the search went almost everywhere"
