"""What a run says of itself in the Temporal UI from its start on, whoever starts it (Markdown, no personal data)."""

from __future__ import annotations

SUMMARY = "Withdraw a prepaid balance to a bank account"
DETAILS = """\
The story of one withdrawal. PostgreSQL holds the proof: this run may be cancelled, terminated or lost without a fen
being lost, and the sweep starts it again within a minute.

* **Where it stands, what it waits for, what to do:** *Current details*, above the history.
* **Look again now:** signal `look`, without input.
* **Cancel:** *Request cancellation*; carried out until the bank has been asked, then refused with a note.
* **Don't reset it:** terminate it instead; the next run goes on where the rows prove it stands.
"""
"""The static summary and details of a run: what it is, whatever becomes of it."""

RETURN_SUMMARY = "Ask the bank what became of a transfer after all"
