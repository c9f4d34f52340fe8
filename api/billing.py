"""What billing tells us: whom an account is registered to, and what was topped up, granted and used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Response
from starlette.concurrency import run_in_threadpool

from api.authentication import BILLING, Caller, allow
from api.body import StrictRoute
from api.described import refused_with
from api.parts import AppParts
from api.shapes import ACCOUNT_ID_PATTERN, BookingForm, RegistrationForm
from api.views import AccountBody, BookingBody, show_account
from domain.errors import InvalidRequest, NotFound, ReferenceReused
from domain.money import format_yuan
from ledger.accounts import Registration

routes = APIRouter(
    prefix="/v1/accounts/{account_id}",
    tags=["billing"],
    route_class=StrictRoute,
    dependencies=[Depends(allow(BILLING))],
)

Billing = Annotated[Caller, Depends(allow(BILLING))]
AccountInPath = Annotated[str, Path(pattern=ACCOUNT_ID_PATTERN)]

_BOOKED = {
    200: {"model": BookingBody, "description": "The reference was booked before; nothing is booked again."},
    **refused_with(NotFound, InvalidRequest, ReferenceReused),
}


@routes.put("", responses=refused_with(InvalidRequest))
async def register(caller: Billing, account_id: AccountInPath, form: RegistrationForm, parts: AppParts) -> AccountBody:
    """Create the account, or replace what is known of it; its money stays as it is."""
    registration = Registration(account_id=account_id, **form.model_dump())
    now = parts.clock()
    await run_in_threadpool(parts.accounts.register, registration, now=now, by=caller.subject)
    return show_account(await run_in_threadpool(parts.reads.account, account_id, now=now))


@routes.post("/top-ups", status_code=201, responses=_BOOKED)
async def top_up(account_id: AccountInPath, form: BookingForm, parts: AppParts, response: Response) -> BookingBody:
    """Cash in."""
    return await _book(parts, parts.accounts.top_up, "top_up", account_id, form, response)


@routes.post("/charges", status_code=201, responses=_BOOKED)
async def charge(account_id: AccountInPath, form: BookingForm, parts: AppParts, response: Response) -> BookingBody:
    """Usage: vouchers first, then cash, below zero if need be; what is frozen is never touched."""
    return await _book(parts, parts.accounts.charge, "charge", account_id, form, response)


@routes.post("/vouchers", status_code=201, responses=_BOOKED)
async def grant_voucher(
    account_id: AccountInPath, form: BookingForm, parts: AppParts, response: Response
) -> BookingBody:
    """A voucher: it can be used up, and never withdrawn."""
    return await _book(parts, parts.accounts.grant_voucher, "voucher", account_id, form, response)


async def _book(
    parts: AppParts,
    book: Callable[..., bool],
    kind: Literal["top_up", "charge", "voucher"],
    account_id: str,
    form: BookingForm,
    response: Response,
) -> BookingBody:
    booked_now = await run_in_threadpool(book, account_id, form.reference, form.amount, now=parts.clock())
    response.status_code = 201 if booked_now else 200
    return BookingBody(account_id=account_id, reference=form.reference, kind=kind, amount=format_yuan(form.amount))
