"""The words for what the API says in codes: statuses, events, reasons, failures, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping

from console.marks import mark

STATUSES: Mapping[str, tuple[str, str]] = {
    "awaiting_verification": (mark("Awaiting phone verification"), "wait"),
    "awaiting_approval": (mark("Awaiting approval"), "wait"),
    "processing": (mark("Processing"), "run"),
    "under_review": (mark("Under review"), "run"),
    "paid": (mark("Paid"), "good"),
    "returned": (mark("Returned by the bank"), "bad"),
    "failed": (mark("Failed"), "bad"),
    "expired": (mark("Expired"), "off"),
    "cancelled": (mark("Cancelled"), "off"),
    "rejected": (mark("Not approved"), "bad"),
}
"""The name of each status, and the tone it is shown in."""

OPEN = frozenset({"awaiting_verification", "awaiting_approval", "processing", "under_review"})
FROZEN = frozenset({"awaiting_approval", "processing", "under_review"})
CANCELLABLE = frozenset({"awaiting_verification", "awaiting_approval"})

NEXT: Mapping[str, tuple[str, ...]] = {
    "awaiting_verification": (
        mark("You enter the code from the SMS"),
        mark("The amount is frozen in your account"),
        mark("The bank transfers it, within 10 to 15 working days"),
    ),
    "awaiting_approval": (
        mark("Finance checks the application, because of its amount"),
        mark("The bank transfers it, within 10 to 15 working days"),
    ),
    "processing": (mark("The bank transfers the amount to your bank account"),),
    "under_review": (mark("Finance finds out with the bank what became of the transfer"),),
}
"""What is still to come, in order; a final status has nothing."""

EVENTS: Mapping[str, str] = {
    "applied": mark("Application received"),
    "code_sent": mark("Verification code sent to the phone"),
    "wrong_code": mark("A wrong code was entered"),
    "verified": mark("Phone verified"),
    "frozen": mark("Amount frozen"),
    "approved": mark("Approved by finance"),
    "rejected": mark("Not approved by finance; the amount was unfrozen"),
    "bank_asked": mark("Handed to the bank"),
    "bank_accepted": mark("The bank has taken the transfer"),
    "bank_processing": mark("The bank is working on the transfer"),
    "paid": mark("The bank has paid"),
    "returned": mark("The bank sent the money back; it was credited to the account"),
    "customer_told": mark("The customer was told by SMS"),
    "failed": mark("The withdrawal failed"),
    "under_review": mark("No answer from the bank within 15 working days; finance finds out"),
    "resolution_given": mark("One of two people of finance found out what became of the transfer"),
    "resolved": mark("Finance found out what became of the transfer"),
    "expired": mark("No right code was entered in time"),
    "cancelled": mark("Cancelled"),
    "window_renewed": mark("The arrival dates were worked out again"),
    "finance_reminded": mark("Finance was reminded"),
    "bank_contradicts": mark("The bank contradicts what it said before"),
}

FOR_COLLEAGUES_ONLY = frozenset({"finance_reminded", "resolution_given", "bank_contradicts", "bank_processing"})
"""Events that tell a customer nothing."""

ACTORS: Mapping[str, str] = {
    "system": mark("the system"),
    "bank": mark("the bank"),
    "finance": mark("finance"),
    "operations": mark("operations"),
}

DOORS: Mapping[str, str] = {
    "api": mark("through the API"),
    "temporal": mark("through Temporal"),
    "workflow": mark("by the workflow"),
    "bank": mark("by the bank's answer"),
}

FAILURES: Mapping[str, str] = {
    "code_expired": mark("The verification code was not entered in time. You can apply again."),
    "too_many_wrong_codes": mark("The verification code was wrong too often. You can apply again."),
    "rejected_by_finance": mark("The application was not approved. The frozen amount is back in your account."),
    "bank_refused": mark("The bank did not carry out the transfer. The frozen amount is back in your account."),
    "bank_account_closed": mark("The bank says that the account is closed. The frozen amount is back in your account."),
    "bank_name_mismatch": mark(
        "The bank says that the name does not match the bank account. The frozen amount is back in your account."
    ),
    "bank_card_not_accepted": mark(
        "The bank does not accept transfers to this card. The frozen amount is back in your account."
    ),
    "returned_by_bank": mark("The bank sent the money back. It is in your account again."),
    "found_unpaid": mark("The bank did not pay the transfer. The frozen amount is back in your account."),
    "amount_exceeds_withdrawable": mark("The balance no longer covered the amount when it was to be frozen."),
    "already_withdrawn_this_month": mark("The balance can be withdrawn once a calendar month."),
    "subject_not_verified": mark("The account's real-name verification is missing."),
    "account_suspended": mark("The account is suspended."),
    "account_in_arrears": mark("The account is in arrears."),
    "bank_account_name_mismatch": mark("The bank account is not in the name of the authentication subject."),
    "phone_missing": mark("The account has no phone number."),
}
"""Why a withdrawal did not end in money."""

FAILED_SOMEHOW = mark("The withdrawal did not go through. The amount is in your account.")
"""Said of a failure code that is not among them."""

DIFFERENCES: Mapping[str, str] = {
    "unknown_to_us": mark("The bank booked what is none of our withdrawals"),
    "amount_differs": mark("The amounts differ"),
    "not_in_our_book": mark("The bank booked what our book does not have"),
    "not_on_statement": mark("Our book has what no statement has"),
}

ENTRIES: Mapping[str, str] = {"payment": mark("payment"), "return": mark("return")}

BEHAVIOURS: Mapping[str, str] = {
    "pay": mark("pays after two seconds"),
    "reject": mark("refuses at once"),
    "accept_then_fail": mark("takes the transfer, then fails"),
    "pay_then_return": mark("pays, then sends the money back"),
    "silent": mark("takes the transfer and says nothing more"),
    "time_out_after_booking": mark("books, but its answer is lost"),
    "unavailable:3": mark("is unavailable three times, then pays"),
}
