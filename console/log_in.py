"""Coming and going: the sandbox's plain log-in, the language, and the front page."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from starlette.responses import Response

from console.api_client import Away, Refused
from console.marks import mark
from console.people import Person
from console.sandbox_customers import CUSTOMERS, FINANCE_PEOPLE, customer, finance_person, open_account
from console.sandbox_world import BILLING
from console.visits import AnyVisit, Visit, own_path

routes = APIRouter()
sandbox_routes = APIRouter()
"""Only where there is a sandbox: anybody may be anybody there."""

HOME, DESK, LOG_IN = "/home", "/desk", "/log-in"

AWAY = mark("The service cannot be reached at the moment. Try again in a moment.")


def start_of(person: Person | None) -> str:
    """Where somebody begins."""
    if person is None:
        return LOG_IN
    return DESK if person.is_finance else HOME


@routes.get("/")
async def begin(visit: AnyVisit) -> Response:
    """To the start of whoever it is."""
    return visit.go(start_of(visit.person))


@routes.post("/language")
async def choose_language(visit: AnyVisit) -> Response:
    """The page in the other language."""
    response = visit.go(own_path(visit.form.get("from", ""), "/"))
    if visit.form.get("language") in visit.parts.languages:
        visit.set_language(response, visit.form["language"])
    return response


@routes.post("/log-out")
async def leave(visit: AnyVisit) -> Response:
    """Ends the session in this browser; in production, the vendor's log-in ends it."""
    return visit.log_out(visit.parts.settings.log_out_url or LOG_IN)


@sandbox_routes.get(LOG_IN)
async def ask_who(visit: AnyVisit) -> Response:
    """Who do you want to be?"""
    return await show_log_in(visit, visit.request.query_params.get("next", ""))


@sandbox_routes.post(LOG_IN)
async def log_in(visit: AnyVisit) -> Response:
    """As one of the made-up customers, who is registered on the way, or as one of finance."""
    assert visit.parts.sandbox is not None
    wanted = own_path(visit.form.get("next", ""), "")
    finance = finance_person(visit.form.get("finance", ""))
    if finance is not None:
        return visit.log_in(finance, wanted if wanted.startswith(DESK) else DESK)
    chosen = customer(visit.form.get("customer", ""))
    if chosen is None:
        return await show_log_in(visit, wanted)
    try:
        billing = visit.parts.api.of(BILLING)
        person = await open_account(chosen, billing, fresh=visit.form.get("fresh") == "yes")
    except (Away, Refused):
        away = visit.language.gettext(AWAY)
        return await show_log_in(visit, wanted, status=HTTPStatus.SERVICE_UNAVAILABLE, error=away)
    return visit.log_in(person, HOME if not wanted or wanted.startswith(DESK) else wanted)


async def show_log_in(visit: Visit, wanted: str, *, status: int = HTTPStatus.OK, error: str | None = None) -> Response:
    """The page; ``wanted`` is where they were going."""
    return await visit.page(
        "log_in.html",
        status,
        customers=CUSTOMERS,
        finance_people=FINANCE_PEOPLE,
        wanted=own_path(wanted, ""),
        over=visit.was is not None,
        error=error,
    )
