"""What an operator reads at the top of a run in the Temporal UI (Markdown, no personal data)."""

from __future__ import annotations

from domain.money import format_yuan
from domain.withdrawal import Standing, Status

_WAITS_FOR = {
    Status.AWAITING_VERIFICATION: "the customer to enter the phone code",
    Status.AWAITING_APPROVAL: "finance to decide",
    Status.PROCESSING: "the bank to say what became of the transfer",
    Status.UNDER_REVIEW: "finance to find out what became of the transfer",
}


def describe(standing: Standing | None, note: str = "") -> str:
    """Where the withdrawal stands, what it waits for and until when; nothing but the note before it was read."""
    if standing is None:
        return note
    lines = [
        f"**{standing.status}** · {format_yuan(standing.amount_fen)} CNY · account `{standing.account_id}`",
    ]
    if standing.status in _WAITS_FOR:
        lines.append(f"Waits for {_WAITS_FOR[standing.status]}.")
    if standing.status is Status.AWAITING_VERIFICATION and standing.code_expires_at is not None:
        lines.append(f"The code is valid until {standing.code_expires_at:%Y-%m-%d %H:%M:%S} UTC.")
    if standing.status is Status.AWAITING_APPROVAL:
        lines.append(f"Approvals: {standing.approvals_given} of {standing.approvals_needed}.")
    if standing.window is not None:
        provisional = " (provisional)" if standing.window.provisional else ""
        lines.append(f"Expected from {standing.window.earliest} to {standing.window.latest}{provisional}.")
    if standing.failure_code is not None:
        lines.append(f"Reason: `{standing.failure_code}`.")
    if note:
        lines.append(f"*{note}*")
    return "\n\n".join(lines)
