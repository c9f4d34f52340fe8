"""What can be withdrawn from an account, and why not more."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool

from api.authentication import Customer
from api.body import StrictRoute
from api.described import refused_with
from api.parts import AppParts
from api.views import AccountBody, show_account
from domain.errors import NotFound

routes = APIRouter(prefix="/v1/accounts", tags=["accounts"], route_class=StrictRoute)


@routes.get("/{account_id}", responses=refused_with(NotFound))
async def read(caller: Customer, account_id: Annotated[str, Path()], parts: AppParts) -> AccountBody:
    """What can be withdrawn now; `blockers` are the reasons why nothing can."""
    own = caller.own_account(account_id)
    return show_account(await run_in_threadpool(parts.reads.account, own, now=parts.clock()))
