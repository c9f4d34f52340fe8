"""Finance's word: on applications that need approval, and on transfers whose outcome the bank won't tell."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.authentication import Approver
from api.body import StrictRoute
from api.described import refused_with
from api.parts import AppParts
from api.shapes import DecisionForm, ResolutionForm
from api.views import WithdrawalBody, show_withdrawal
from api.withdrawals import WithdrawalId, refuse_if_final
from domain.errors import FourEyesViolated, InvalidRequest, NotFound, NotPossibleNow
from domain.withdrawal import FinanceDecision, Resolution

routes = APIRouter(prefix="/v1/withdrawals/{withdrawal_id}", tags=["finance"], route_class=StrictRoute)

_REFUSED = refused_with(NotFound, InvalidRequest, FourEyesViolated, NotPossibleNow)


@routes.post("/decision", responses=_REFUSED)
async def decide(caller: Approver, withdrawal_id: WithdrawalId, form: DecisionForm, parts: AppParts) -> WithdrawalBody:
    """Approve or reject; never one's own application, and each person once."""
    refuse_if_final(await run_in_threadpool(parts.reads.withdrawal, withdrawal_id))
    await parts.engine.decide(withdrawal_id, FinanceDecision(caller.subject, form.decision, form.note))
    return show_withdrawal(await run_in_threadpool(parts.reads.withdrawal, withdrawal_id), caller)


@routes.post("/resolution", responses=_REFUSED)
async def resolve(
    caller: Approver, withdrawal_id: WithdrawalId, form: ResolutionForm, parts: AppParts
) -> WithdrawalBody:
    """Settle a transfer under review by what finance found out, with the evidence."""
    refuse_if_final(await run_in_threadpool(parts.reads.withdrawal, withdrawal_id))
    await parts.engine.resolve(withdrawal_id, Resolution(caller.subject, form.outcome, form.evidence))
    return show_withdrawal(await run_in_threadpool(parts.reads.withdrawal, withdrawal_id), caller)
