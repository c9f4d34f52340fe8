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
from domain.withdrawal import BankAnswer, Decision, Door, FinanceDecision, Standing, Verb
from ledger.instructions import Instructions
from ledger.moves import Instruction, Moves
from ledger.transfers import Transfers
from ledger.verifications import Verifications


@dataclass(frozen=True)
class LedgerActivities:
    """The ledger as the workflow sees it. ``decide_by_signal`` opens Temporal's own door to finance."""

    moves: Moves
    verifications: Verifications
    transfers: Transfers
    instructions: Instructions
    decide_by_signal: bool = False

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
    def cancel(self, withdrawal_id: UUID, instruction_id: UUID, at: datetime) -> Standing:
        """Ends it before the bank is asked, for the customer; gives frozen money back."""
        asked = self.instructions.read(withdrawal_id, Verb.CANCEL, instruction_id)
        return self.moves.cancel(withdrawal_id, asked.instruction, now=at)

    @activity.defn
    def cancel_for_operator(self, withdrawal_id: UUID, operation_key: str, at: datetime) -> Standing:
        """The same for whoever asked Temporal to cancel the run."""
        return self.moves.cancel(withdrawal_id, Instruction("operator", Door.TEMPORAL, operation_key), now=at)

    @activity.defn
    def decide(self, withdrawal_id: UUID, instruction_id: UUID, at: datetime) -> Standing:
        """Finance's decision as the API recorded it: the withdrawal goes on, or is unfrozen."""
        asked = self.instructions.read(withdrawal_id, Verb.DECIDE, instruction_id)
        return self.moves.decide(withdrawal_id, Decision(asked.word), asked.note, asked.instruction, now=at)

    @activity.defn
    def decide_by_hand(self, withdrawal_id: UUID, word: FinanceDecision, operation_key: str, at: datetime) -> Standing:
        """Finance's decision through Temporal's own door, where a setting opens it; the same rules hold."""
        if not self.decide_by_signal:
            raise NotPossibleNow(status=self.moves.standing(withdrawal_id).status)
        instruction = Instruction(word.approver, Door.TEMPORAL, operation_key)
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
    def resolve(self, withdrawal_id: UUID, instruction_id: UUID, at: datetime) -> Standing:
        """Settles or unfreezes on finance's word as the API recorded it."""
        asked = self.instructions.read(withdrawal_id, Verb.RESOLVE, instruction_id)
        return self.transfers.resolve(withdrawal_id, asked.word, asked.note, asked.instruction, now=at)
