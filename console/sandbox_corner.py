"""The sandbox corner's one form: what the bank does with a card."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from starlette.responses import Response

from console.amounts import read_digits
from console.api_client import Away, Refused
from console.sandbox_world import BEHAVIOURS
from console.visits import AnyVisit, own_path

routes = APIRouter(prefix="/sandbox")


@routes.post("/card")
async def set_behaviour(visit: AnyVisit) -> Response:
    """From the next transfer on."""
    assert visit.parts.sandbox is not None
    card_number = read_digits(visit.form.get("card_number", ""))
    behaviour = visit.form.get("behaviour", "")
    back = own_path(visit.form.get("from", ""), "/")
    if behaviour not in BEHAVIOURS or not card_number.isascii() or not card_number.isdecimal():
        return visit.go(back, notice="card_refused")
    if not 12 <= len(card_number) <= 19:
        return visit.go(back, notice="card_refused")
    try:
        await visit.parts.sandbox.set_behaviour(card_number, behaviour)
    except Away as away:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, {"code": "temporarily_unavailable"}, None) from away
    return visit.go(back, notice="card_set")
