"""What the sandbox corner of a page shows: the SMS inbox, the bank's behaviour, the run. Nothing in production."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from console.api_client import Away, Json
from console.sandbox_world import BEHAVIOURS

if TYPE_CHECKING:
    from console.visits import Visit

MESSAGES = 5


async def corner(visit: Visit, context: Mapping[str, Any]) -> Json | None:
    """None where there is no sandbox."""
    sandbox, person = visit.parts.sandbox, visit.person
    if sandbox is None:
        return None
    shown: Json = {
        "away": False,
        "messages": None,
        "behaviour": None,
        "behaviours": BEHAVIOURS,
        "run": _run(visit, context),
    }
    if person is None:
        return shown
    try:
        if person.phone is not None:
            shown["messages"] = (await sandbox.inbox(person.phone))[:MESSAGES]
        if person.card is not None:
            shown["behaviour"] = await sandbox.behaviour(person.card["card_number"])
    except Away:
        shown["away"] = True
    return shown


def _run(visit: Visit, context: Mapping[str, Any]) -> str | None:
    withdrawal = context.get("withdrawal")
    ui = visit.parts.settings.temporal_ui_url
    if not ui or not withdrawal:
        return None
    return f"{ui.rstrip('/')}/namespaces/default/workflows/withdrawal-{withdrawal['id']}"
