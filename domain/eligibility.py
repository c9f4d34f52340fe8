"""May this account withdraw this amount now? Every reason at once (product.md, rules 1, 2, 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from domain.bank_card import SubjectType
from domain.errors import Reason
from domain.money import format_yuan
from domain.names import same_name
from domain.shanghai import month_after


@dataclass(frozen=True)
class Applicant:
    """What the rules look at, as of one moment. Amounts in fen.

    ``available`` is cash that is not frozen, below zero in arrears; vouchers are absent because they never
    count (rule 1). ``month_used`` says that an application in flight or paid has used up this month (rule 2).
    ``subject_name`` is None where nothing is compared with it.
    """

    account_id: str
    subject_type: SubjectType
    subject_name: str | None
    verified: bool
    has_phone: bool
    suspended: bool
    pay_as_you_use: bool
    available: int
    month_used: bool


@dataclass(frozen=True)
class EligibilityRules:
    """``reserve`` fen stay in the account while any pay-as-you-use product is active (rule 4)."""

    reserve: int = 200_00

    def reserved(self, applicant: Applicant) -> int:
        """What must stay in the account, in fen."""
        return self.reserve if applicant.pay_as_you_use else 0

    def withdrawable(self, applicant: Applicant) -> int:
        """``max(0, cash available − reserve)``, in fen."""
        return max(0, applicant.available - self.reserved(applicant))

    def blockers(self, applicant: Applicant, month: date) -> list[Reason]:
        """Why nothing at all can be withdrawn now, whatever the amount and the card."""
        return list(self._blockers(applicant, month))

    def reasons_against(self, applicant: Applicant, *, amount: int, account_name: str, month: date) -> list[Reason]:
        """Every reason against this application; an empty list means yes."""
        assert applicant.subject_name is not None, "an application is judged with the name opened"
        reasons = [] if amount <= self.withdrawable(applicant) else [self._too_much(applicant)]
        reasons += self._blockers(applicant, month)
        if not same_name(account_name, applicant.subject_name):
            reasons.append(
                Reason(
                    "bank_account_name_mismatch",
                    "Money goes only to a bank account in the name of the authentication subject.",
                )
            )
        return reasons

    def _too_much(self, applicant: Applicant) -> Reason:
        message = f"At most {format_yuan(self.withdrawable(applicant))} CNY can be withdrawn."
        if applicant.pay_as_you_use:
            message += (
                f" {format_yuan(self.reserve)} CNY stay in the account while a pay-as-you-use product is"
                " active; to withdraw everything, stop using those products first."
            )
        return Reason("amount_exceeds_withdrawable", message)

    def _blockers(self, applicant: Applicant, month: date) -> Iterator[Reason]:
        if applicant.month_used:
            yield Reason(
                "already_withdrawn_this_month",
                "The balance can be withdrawn once a calendar month; the next time from"
                f" {month_after(month).isoformat()}.",
            )
        if not applicant.verified:
            yield Reason("subject_not_verified", "Complete the real-name verification of the account first.")
        if applicant.suspended:
            yield Reason("account_suspended", "The account is suspended. Contact customer service.")
        if applicant.available < 0:
            yield Reason("account_in_arrears", "The account is in arrears. Top it up first.")
        if not applicant.has_phone:
            yield Reason("phone_missing", "Add a phone number to the account first; the code is sent to it.")
