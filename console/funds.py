"""The customer's money: the console's start, the Overview with its Recharge area, and Top Up."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from fastapi import APIRouter
from starlette.responses import Response

from console import refusals
from console.amounts import read_amount
from console.api_client import Away, Refused
from console.refusals import Errors
from console.sandbox_world import BILLING
from console.visits import CustomersVisit, Visit

routes = APIRouter()
sandbox_routes = APIRouter()

OVERVIEW = "/billing/overview"
TOP_UP = "/billing/top-up"
LATEST = 3


@routes.get("/home")
async def start(visit: CustomersVisit) -> Response:
    """The console, with Fees in its top navigation."""
    return await visit.page("home.html")


@routes.get(OVERVIEW)
async def overview(visit: CustomersVisit) -> Response:
    """What is on the account, and the ways to add to it and to take from it."""
    account = await visit.calls.account()
    record = await visit.calls.record(limit=LATEST)
    return await visit.page("overview.html", account=account, latest=record["items"])


@sandbox_routes.get(TOP_UP)
async def ask_top_up(visit: CustomersVisit) -> Response:
    """The form. Its reference makes sending it twice harmless."""
    return await _show_top_up(visit, {"reference": str(uuid.uuid4()), "amount": ""})


@sandbox_routes.post(TOP_UP)
async def top_up(visit: CustomersVisit) -> Response:
    """Plays the payment system that books the money in."""
    assert visit.person is not None
    assert visit.person.account_id is not None
    errors = refusals.missing(visit.language, visit.form, ("amount",))
    if errors:
        return await _show_top_up(visit, visit.form, errors)
    try:
        billing, amount = visit.parts.api.of(BILLING), read_amount(visit.form["amount"])
        await billing.book(visit.person.account_id, "top-ups", visit.form.get("reference", ""), amount)
    except Refused as refused:
        return await _show_top_up(visit, visit.form, refusals.explain(visit.language, refused))
    except Away:
        return await _show_top_up(visit, visit.form, Errors(general=[visit.language.gettext(refusals.AWAY)]), away=True)
    return visit.go(OVERVIEW, notice="topped_up")


async def _show_top_up(
    visit: Visit, form: dict[str, str], errors: Errors | None = None, *, away: bool = False
) -> Response:
    status = HTTPStatus.OK if errors is None else HTTPStatus.UNPROCESSABLE_ENTITY
    account = None
    if not away:
        account = await visit.calls.account()
    return await visit.page(
        "top_up.html",
        HTTPStatus.SERVICE_UNAVAILABLE if away else status,
        account=account,
        form=form,
        errors=errors or Errors(),
    )
