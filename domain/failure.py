"""Why a withdrawal did not end in money, in words the customer understands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CODE_EXPIRED = "code_expired"
TOO_MANY_WRONG_CODES = "too_many_wrong_codes"
REJECTED_BY_FINANCE = "rejected_by_finance"
BANK_REFUSED = "bank_refused"
RETURNED_BY_BANK = "returned_by_bank"
FOUND_UNPAID = "found_unpaid"

_UNFROZEN = "The frozen amount is back in your account."

_WORDS_OF_THE_BANK = frozenset({"account_closed", "name_mismatch", "card_not_accepted"})

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        CODE_EXPIRED: "The verification code was not entered in time. You can apply again.",
        TOO_MANY_WRONG_CODES: "The verification code was wrong too often. You can apply again.",
        REJECTED_BY_FINANCE: f"The application was not approved. {_UNFROZEN}",
        BANK_REFUSED: f"The bank did not carry out the transfer. {_UNFROZEN}",
        "bank_account_closed": f"The bank says that the account is closed. {_UNFROZEN}",
        "bank_name_mismatch": f"The bank says that the name does not match the bank account. {_UNFROZEN}",
        "bank_card_not_accepted": f"The bank does not accept transfers to this card. {_UNFROZEN}",
        RETURNED_BY_BANK: "The bank sent the money back. It is in your account again.",
        FOUND_UNPAID: f"The bank did not pay the transfer. {_UNFROZEN}",
        "amount_exceeds_withdrawable": "The balance no longer covered the amount when it was to be frozen.",
        "already_withdrawn_this_month": "The balance can be withdrawn once a calendar month.",
        "subject_not_verified": "The account's real-name verification is missing.",
        "account_suspended": "The account is suspended.",
        "account_in_arrears": "The account is in arrears.",
        "bank_account_name_mismatch": "The bank account is not in the name of the authentication subject.",
        "phone_missing": "The account has no phone number.",
    }
)


def bank_failure(reason_code: str | None) -> str:
    """Our code for the bank's reason; a word we don't know becomes the plain ``bank_refused``."""
    return f"bank_{reason_code}" if reason_code in _WORDS_OF_THE_BANK else BANK_REFUSED


def message_for(code: str) -> str:
    """The sentence shown for a failure code."""
    return MESSAGES.get(code, MESSAGES[BANK_REFUSED])
