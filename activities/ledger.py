"""The steps that only touch PostgreSQL: one transaction each, and safe to be called again after any doubt.

``at`` is the workflow's clock, which the database's does not know. Every step answers with where the withdrawal
stands by its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from temporalio import activity

from domain.errors import NotPossibleNow
from domain.withdrawal import BankAnswer, Door, FinanceDecision, Resolution, Standing
from ledger.moves import Instruction, Moves
from ledger.transfers import Transfers
from ledger.verifications import Verifications


@dataclass(frozen=True)
class LedgerActivities:
    """The ledger as the workflow sees it. ``decide_by_signal`` opens Temporal's own door to finance."""

    moves: Moves
    verifications: Verifications
    transfers: Transfers
    decide_by_signal: bool = True

    @activity.defn
    def read_standing(self, withdrawal_id: UUID) -> Standing:
        """Where the withdrawal stands."""
        return self.moves.standing(withdrawal_id)

    @activity.defn
    def check_eligibility(self, withdrawal_id: UUID, at: datetime) -> Standing:
        """Fails an application whose rules no longer hold before a code goes out."""
        return self.moves.check_eligibility(withdrawal_id, now=at)

    @activity.defn
    def freeze(self, withdrawal_id: UUID, at: datetime) -> Standing:
        """available → frozen, if the phone is verified and every rule still holds."""
        return self.moves.freeze(withdrawal_id, now=at)

    @activity.defn
    def expire(self, withdrawal_id: UUID, at: datetime) -> Standing:
        """Ends an application whose code's time is over."""
        return self.verifications.expire(withdrawal_id, now=at)

    @activity.defn
    def cancel(self, withdrawal_id: UUID, instruction: Instruction, at: datetime) -> Standing:
        """Ends it before the bank is asked; gives frozen money back."""
        return self.moves.cancel(withdrawal_id, instruction, now=at)

    @activity.defn
    def decide(self, withdrawal_id: UUID, word: FinanceDecision, instruction: Instruction, at: datetime) -> Standing:
        """Records finance's decision and lets the withdrawal go on, or unfreezes."""
        if instruction.door is Door.TEMPORAL and not self.decide_by_signal:
            raise NotPossibleNow(status=self.moves.standing(withdrawal_id).status)
        return self.moves.decide(withdrawal_id, word.decision, word.note, instruction, now=at)

    @activity.defn
    def remind_finance(self, withdrawal_id: UUID, at: datetime) -> Standing:
        """Notes that finance is still waited for."""
        return self.moves.remind_finance(withdrawal_id, now=at)

    @activity.defn
    def record_answer(self, withdrawal_id: UUID, answer: BankAnswer, at: datetime) -> Standing:
        """Lets the bank's answer settle, unfreeze or credit again."""
        return self.transfers.record_answer(withdrawal_id, answer, now=at)

    @activity.defn
    def put_under_review(self, withdrawal_id: UUID, at: datetime) -> Standing:
        """Asks finance once the window has ended without an answer."""
        return self.moves.put_under_review(withdrawal_id, now=at)

    @activity.defn
    def resolve(self, withdrawal_id: UUID, word: Resolution, instruction: Instruction, at: datetime) -> Standing:
        """Settles or unfreezes on finance's recorded word."""
        return self.transfers.resolve(withdrawal_id, word.outcome, word.evidence, instruction, now=at)
