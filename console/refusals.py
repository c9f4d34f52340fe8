"""What the API refuses, in words beside the field it is about. Translated by code, never from the English message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from console.api_client import Json, Refused
from console.languages import Language
from console.marks import mark


@dataclass
class Errors:
    """The words of a refusal: for each field, and for what is about no field."""

    fields: dict[str, str] = field(default_factory=dict)
    general: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fields or self.general)

    def add(self, name: str | None, words: str) -> None:
        """The first word about a field stays."""
        if name is None:
            self.general.append(words)
        else:
            self.fields.setdefault(name, words)


MISSING: Mapping[str, str] = {
    "amount": mark("Enter the amount."),
    "account_name": mark("Enter the name the bank account is in."),
    "bank_name": mark("Enter the name of the bank."),
    "branch_name": mark("Enter the name of the branch."),
    "card_number": mark("Enter the bank card number."),
    "code": mark("Enter the code from the SMS."),
    "evidence": mark("Say what this is based on: the next reader has nothing else."),
    "note": mark("Say how it was dealt with."),
    "outcome": mark("Choose what became of the transfer."),
}

INVALID: Mapping[str, str] = {
    "amount": mark("Enter an amount of more than 0 with at most two decimals, such as 500.00."),
    "account_name": mark("Enter 1 to 100 characters, all of them visible."),
    "bank_name": mark("Enter 1 to 100 characters, all of them visible."),
    "branch_name": mark("Enter 1 to 100 characters, all of them visible."),
    "card_number": mark("A bank card number is 12 to 19 digits."),
    "code": mark("The code is six digits."),
    "evidence": mark("Enter up to 1,000 characters, all of them visible."),
    "note": mark("Enter up to 1,000 characters, all of them visible."),
    "outcome": mark("Choose what became of the transfer."),
}

CHECK_DIGIT = mark("The card number has a typing error: its check digit is wrong. Compare it with the card.")
NAME_MISMATCH = mark("Money goes only to a bank account in the name of the authentication subject.")

PROBLEMS: Mapping[str, str] = {
    "invalid_request": mark("Something in this form cannot be understood. Check what you entered."),
    "not_eligible": mark("The amount cannot be withdrawn."),
    "withdrawal_in_progress": mark("Another withdrawal of this account is still in progress."),
    "idempotency_key_reused": mark(
        "This form was sent before, with other values. Look at the Withdrawal Record before you apply again."
    ),
    "idempotency_key_in_use": mark(
        "The form you sent a moment ago is still being worked on. Send it again in a moment."
    ),
    "code_expired": mark("The verification code is no longer valid. Apply again."),
    "not_possible_now": mark("This is no longer possible: the withdrawal has moved on in the meantime."),
    "four_eyes_violated": mark(
        "Another person has to do this: nobody decides on their own application, and nobody counts twice."
    ),
    "forbidden": mark("Your role does not allow this."),
    "not_found": mark("There is no such account or withdrawal."),
    "body_too_large": mark("The form is too large."),
    "reference_reused": mark("This form was sent before, with another amount."),
    "temporarily_unavailable": mark("The service cannot be reached at the moment. Nothing is lost."),
}

AWAY = mark(
    "The service cannot be reached at the moment. What you typed is still here: send it again in a moment, nothing "
    "will happen twice."
)


def blocker(language: Language, code: str, account: Json) -> tuple[str, str]:
    """Why nothing can be withdrawn, and what to do about it."""
    _ = language.gettext
    match code:
        case "withdrawal_in_progress":
            return (
                _("Another withdrawal of this account is still in progress."),
                _("Wait until it is over, or cancel it if that is still possible."),
            )
        case "already_withdrawn_this_month":
            next_on = account.get("next_eligible_on")
            return (
                _("The balance can be withdrawn once a calendar month, and this month's withdrawal is used up."),
                _("You can apply again from %(day)s.") % {"day": language.day(next_on)} if next_on else "",
            )
        case "subject_not_verified":
            return _("Real-name verification is missing."), _("Complete the verification of the account first.")
        case "account_suspended":
            return _("The account is suspended."), _("Contact customer service; they can tell why and lift it.")
        case "account_in_arrears":
            return (
                _("The account is in arrears."),
                _("Top up at least %(amount)s first.")
                % {"amount": language.money(str(-min(Decimal(0), _available(account))))},
            )
        case "phone_missing":
            return (
                _("The account has no phone number."),
                _("Add one in the account's settings first; the verification code is sent to it."),
            )
        case _:
            return _("The amount cannot be withdrawn."), _("Contact customer service.")


def too_much(language: Language, account: Json) -> str:
    """More than can be withdrawn, with the way to withdraw everything (rule 4)."""
    _ = language.gettext
    words = _("At most %(amount)s can be withdrawn.") % {"amount": language.money(account["withdrawable"])}
    if Decimal(account["reserved"]) > 0:
        words += " " + _(
            "%(reserve)s stay in the account while a pay-as-you-use product is active. To withdraw everything, stop "
            "using those products first."
        ) % {"reserve": language.money(account["reserved"])}
    return words


def explain(language: Language, refused: Refused, account: Json | None = None) -> Errors:
    """Every entry of the refusal in words; ``account`` gives the figures for those that name some."""
    errors = Errors()
    for entry in refused.errors:
        name, words = _entry(language, entry, account or {})
        errors.add(name, words)
    if not errors:
        errors.general.append(_whole(language, refused))
    return errors


def _entry(language: Language, entry: Json, account: Json) -> tuple[str | None, str]:
    _ = language.gettext
    code, name = str(entry.get("code")), str(entry.get("field", "")).removeprefix("bank_card.")
    if code == "card_number_check_digit":
        return "card_number", _(CHECK_DIGIT)
    if code == "amount_exceeds_withdrawable":
        return "amount", too_much(language, account) if account else _("The balance does not cover this amount.")
    if code == "bank_account_name_mismatch":
        return "account_name", _(NAME_MISMATCH)
    if name in MISSING:
        return name, _((MISSING if code == "missing" else INVALID)[name])
    if code in ("invalid", "missing", "unknown_field", "malformed_json"):
        return None, _(PROBLEMS["invalid_request"])
    why, what_to_do = blocker(language, code, account)
    return None, f"{why} {what_to_do}".strip()


def _whole(language: Language, refused: Refused) -> str:
    if refused.code == "too_many_requests":
        return wait(language, refused.retry_after_s or 1)
    if refused.code == "wrong_code":
        return wrong_code(language, int(refused.facts.get("attempts_left", 0)))
    return language.gettext(PROBLEMS.get(refused.code, PROBLEMS["temporarily_unavailable"]))


def wrong_code(language: Language, left: int) -> str:
    """How many tries are left."""
    words = language.ngettext(
        "This code is wrong. You have %(left)s try left.", "This code is wrong. You have %(left)s tries left.", left
    )
    return words % {"left": left}


def wait(language: Language, seconds: int) -> str:
    """Too often; when it may be tried again."""
    minutes = -(-seconds // 60)
    if seconds <= 90:
        words = language.ngettext(
            "That was too often. Try again in %(n)s second.", "That was too often. Try again in %(n)s seconds.", seconds
        )
        return words % {"n": seconds}
    words = language.ngettext(
        "That was too often. Try again in %(n)s minute.", "That was too often. Try again in %(n)s minutes.", minutes
    )
    return words % {"n": minutes}


def _available(account: Json) -> Decimal:
    return Decimal(account.get("cash_balance", "0")) - Decimal(account.get("frozen", "0"))


def missing(language: Language, form: Mapping[str, Any], names: tuple[str, ...]) -> Errors:
    """The fields that were left empty."""
    errors = Errors()
    for name in names:
        if not str(form.get(name, "")).strip():
            errors.add(name, language.gettext(MISSING[name]))
    return errors
