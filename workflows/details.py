"""What an operator reads at the top of a run in the Temporal UI (Markdown, no personal data)."""

from __future__ import annotations

from domain.money import format_yuan
from domain.withdrawal import Standing, Status

_CODE = """\
**Waits for** the customer to enter the phone code, until {until:%Y-%m-%d %H:%M:%S} UTC.{unsent}

**What to do:** nothing. The customer can ask for another code; without a right one it expires with nothing frozen."""

_VERIFIED = "**Waits for** PostgreSQL: the code was right, and the amount is about to be frozen."

_APPROVAL = """\
**Waits for** finance to decide: {given} of {needed} approvals. No deadline; finance is reminded after 1, 3 and 7 days,
then weekly. The amount is frozen.

**What to do:** finance decides at its desk, or with the signal `decide`:
`{{"approver": "…", "decision": "approve", "note": "…"}}`. Nobody decides on an application of their own."""

_BANK = """\
**Waits for** the bank to say what became of the transfer, until the end of {until} in Shanghai; then finance is asked.

**What to do:** nothing before that. *Ask the bank* with many attempts means that the bank does not answer; the signal
`look` asks it again now. Once the bank was asked, nobody can cancel."""

_REVIEW = """\
**Waits for** finance to find out what became of the transfer. No deadline; finance is reminded after 1, 3 and 7 days,
then weekly. The amount stays frozen.

**What to do:** finance asks the bank for the reference `{reference}` and records `paid` or `failed` with the evidence
(`POST /v1/withdrawals/{reference}/resolution`). An answer of the bank ends the review by itself."""

_OVER = "It is over, and waits for nothing."


def describe(standing: Standing | None, note: str = "", *, overdue: bool = False) -> str:
    """Where the withdrawal stands, what it waits for and until when, and what to do; at first the note alone."""
    if standing is None:
        return note
    amount = f"{format_yuan(standing.amount_fen)} CNY"
    parts = [
        f"### {standing.status}{' · overdue' if overdue else ''} · {amount}",
        f"**Account** `{standing.account_id}`",
        # The UI breaks a paragraph wherever its source does.
        *(paragraph.replace("\n", " ") for paragraph in _waits_for(standing).split("\n\n")),
    ]
    if standing.window is not None:
        provisional = " (provisional)" if standing.window.provisional else ""
        parts.append(f"**Promised** from {standing.window.earliest} to {standing.window.latest}{provisional}.")
    if standing.failure_code is not None:
        parts.append(f"**Reason:** `{standing.failure_code}`")
    if note:
        parts.append(f"**Note:** {note}")
    return "\n\n".join(parts)


def _waits_for(standing: Standing) -> str:
    match standing.status:
        case Status.AWAITING_VERIFICATION if standing.verified or standing.code_expires_at is None:
            return _VERIFIED
        case Status.AWAITING_VERIFICATION:
            unsent = "" if standing.code_sent else " **No code was sent yet:** is the SMS gateway there?"
            return _CODE.format(until=standing.code_expires_at, unsent=unsent)
        case Status.AWAITING_APPROVAL:
            return _APPROVAL.format(given=standing.approvals_given, needed=standing.approvals_needed)
        case Status.PROCESSING:
            return _BANK.format(until=standing.window.latest if standing.window else "the window")
        case Status.UNDER_REVIEW:
            return _REVIEW.format(reference=standing.withdrawal_id)
        case _:
            return _OVER
