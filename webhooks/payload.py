"""The body of a message: a withdrawal as the API shows it to its owner, without names and phone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from domain.bank_card import masked_card
from domain.money import format_yuan
from domain.withdrawal import Status
from ledger.outbox import Message, Snapshot

TYPE = "withdrawal.updated"


def body_of(message: Message) -> str:
    """The JSON that is signed and sent.

    ``data.event`` is what happened, ``data.withdrawal`` how it stands now, which may be further on; of two messages the
    one with the higher ``data.version`` is the newer.
    """
    event = {"kind": message.kind, "status": str(message.status), "at": _moment(message.at)}
    data = {
        "event": event,
        "version": message.withdrawal.version,
        "withdrawal": _withdrawal(message.withdrawal),
    }
    body = {"type": TYPE, "timestamp": _moment(message.at), "data": data}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _withdrawal(snapshot: Snapshot) -> dict[str, Any]:
    awaiting = snapshot.status is Status.AWAITING_VERIFICATION
    window, failure = snapshot.window, snapshot.failure
    return {
        "id": str(snapshot.id),
        "account_id": snapshot.account_id,
        "amount": format_yuan(snapshot.amount_fen),
        "currency": "CNY",
        "status": str(snapshot.status),
        "bank_card": {"bank_name": snapshot.bank_name, "card_number": masked_card(snapshot.card_last4)},
        "code_expires_at": _moment(snapshot.code_expires_at) if awaiting else None,
        "approvals": {
            "needed": snapshot.approvals_needed,
            "given": [{"approver": "finance", "at": _moment(at)} for at in snapshot.approvals_at],
        },
        "arrival_window": window
        and {
            "earliest": window.earliest.isoformat(),
            "latest": window.latest.isoformat(),
            "provisional": window.provisional,
        },
        "failure": {"code": failure[0].code, "message": " ".join(reason.message for reason in failure)}
        if failure
        else None,
        "created_at": _moment(snapshot.created_at),
        "updated_at": _moment(snapshot.updated_at),
    }


def _moment(moment: datetime) -> str:
    """RFC 3339 in UTC, as the API writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
