"""What a run says of itself in the Temporal UI from its start on, whoever starts it (Markdown, no personal data)."""

from __future__ import annotations

SUMMARY = "Withdraw a prepaid balance to a bank account"
DETAILS = (
    "The story of one withdrawal. PostgreSQL holds the proof: this run may be cancelled, terminated or lost without "
    "a fen being lost, and the sweep starts it again within a minute.\n\n"
    "* **Where it stands, what it waits for, what to do:** *Current Details*, beside this.\n"
    "* **Look again now:** send the signal `look`, without input.\n"
    "* **Cancel:** *Request Cancellation*; carried out until the bank has been asked, then refused with a note.\n"
    "* **Don't reset it:** terminate it instead; the next run goes on where the rows prove it stands.\n"
)
"""The static summary and details of a run: what it is, whatever becomes of it."""

RETURN_SUMMARY = "Ask the bank what became of a transfer after all"
