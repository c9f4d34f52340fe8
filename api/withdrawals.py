"""The customer's calls about a withdrawal, and the Withdrawal Record."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from contextlib import suppress
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from api.authentication import Caller, Customer, Reader
from api.body import StrictRoute
from api.cursors import PATTERN, cursor_of, place_of
from api.described import LOCATION, REPLAYED, refused_with
from api.parts import AppParts, Parts
from api.problems import IdempotencyKeyMissing, problem_response, request_id_of
from api.shapes import VISIBLE_ASCII, AccountId, ApplicationForm, CodeForm, Moment
from api.views import (
    EventsBody,
    ReceivedBody,
    RecordBody,
    WithdrawalBody,
    show_event,
    show_received,
    show_withdrawal,
)
from domain.errors import (
    CodeExpired,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
    NotEligible,
    NotFound,
    NotPossibleNow,
    Refusal,
    TemporarilyUnavailable,
    TooManyRequests,
    WithdrawalInProgress,
    WrongCode,
)
from domain.withdrawal import Standing, Status
from ledger.applications import Application, FirstAnswer
from ledger.reads import Place, RecordFilter, WithdrawalRecord

routes = APIRouter(prefix="/v1/withdrawals", tags=["withdrawals"], route_class=StrictRoute)

_JUST_FROZEN = (Status.PROCESSING, Status.AWAITING_APPROVAL)
"""Where a right code leads. The freeze alone lies between it and a record that still waits for the code."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


async def _id_in_path(
    request: Request,
    withdrawal_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})],
) -> UUID:
    """What is no UUID is no withdrawal either. The request's line in the log names it."""
    if _UUID.fullmatch(withdrawal_id) is None:
        raise NotFound
    request.state.withdrawal_id = UUID(withdrawal_id)
    return UUID(withdrawal_id)


WithdrawalId = Annotated[UUID, Depends(_id_in_path)]
Key = Annotated[
    str,
    Header(alias="Idempotency-Key", pattern=VISIBLE_ASCII, description="Makes the call safe to repeat."),
]


@routes.post(
    "",
    status_code=201,
    response_model=WithdrawalBody,
    responses={
        201: {"headers": LOCATION | REPLAYED},
        202: {
            "model": WithdrawalBody,
            "description": "Recorded, but the engine did not answer in time; it will go on.",
            "headers": LOCATION | REPLAYED,
        },
        **refused_with(
            IdempotencyKeyMissing,
            NotFound,
            InvalidRequest,
            NotEligible,
            IdempotencyKeyReused,
            IdempotencyKeyInUse,
            WithdrawalInProgress,
            TooManyRequests,
        ),
    },
)
async def apply(caller: Customer, form: ApplicationForm, key: Key, parts: AppParts, request: Request) -> JSONResponse:
    """Apply for a withdrawal; a code is sent to the account's phone."""
    application = Application(
        account_id=caller.own_account(form.account_id),
        applicant=caller.subject,
        amount=form.amount,
        card=form.bank_card.card(),
        idempotency_key=key,
        body_digest=_digest(form),
    )
    taken = await run_in_threadpool(parts.applications.apply, application, now=parts.clock())
    if isinstance(taken, FirstAnswer):
        if taken.status == 202:
            await _drive_again(parts, UUID(taken.body["id"]))
        return _answer(taken, request, replayed=True)
    request.state.withdrawal_id = taken.withdrawal_id
    opened = taken.status.is_final or await _open(parts, taken.withdrawal_id, taken)
    answer = await run_in_threadpool(_first_answer, parts, caller, taken.withdrawal_id, key, opened=opened)
    return _answer(answer, request, replayed=False)


@routes.post(
    "/{withdrawal_id}/verification",
    responses=refused_with(
        NotFound, InvalidRequest, NotEligible, WrongCode, CodeExpired, NotPossibleNow, TooManyRequests
    ),
)
async def verify(caller: Customer, withdrawal_id: WithdrawalId, form: CodeForm, parts: AppParts) -> ReceivedBody:
    """Enter the code; once it is right, the amount is frozen."""
    try_code = partial(parts.verifications.try_code, by=caller.subject, of=_account_of(caller), now=parts.clock())
    try:
        standing = await run_in_threadpool(try_code, withdrawal_id, form.code)
    except WrongCode as wrong:
        if wrong.attempts_left == 0:
            # The row says expired already; the run that waits for the code may hear of it early.
            with suppress(Refusal):
                await parts.engine.look(withdrawal_id)
        raise
    reading = run_in_threadpool(parts.reads.withdrawal, withdrawal_id)
    if standing.status is Status.AWAITING_VERIFICATION:
        # A repeat finds the money frozen: it must not keep the run from those with something new to say.
        standing, before = await asyncio.gather(parts.engine.verify(withdrawal_id), reading)
        if standing.status in _JUST_FROZEN and before.status is Status.AWAITING_VERIFICATION:
            return show_received(before.frozen(standing), caller)
        reading = run_in_threadpool(parts.reads.withdrawal, withdrawal_id)
    record = await reading
    # Only what was frozen has a window. A bank that refused at once does not make the code wrong.
    if record.window is None:
        if record.status is Status.FAILED:
            raise NotEligible(record.failure)
        raise NotPossibleNow(status=record.status)
    return show_received(record, caller)


@routes.post(
    "/{withdrawal_id}/verification/resend",
    status_code=202,
    responses=refused_with(NotFound, CodeExpired, NotPossibleNow, TooManyRequests),
)
async def resend(caller: Customer, withdrawal_id: WithdrawalId, parts: AppParts) -> WithdrawalBody:
    """Ask for another code; the tries that are left stay what they are."""
    _refuse_if_over_for_code(await _own(parts, caller, withdrawal_id))
    await parts.engine.resend(withdrawal_id)
    return show_withdrawal(await run_in_threadpool(parts.reads.withdrawal, withdrawal_id), caller)


@routes.post("/{withdrawal_id}/cancel", responses=refused_with(NotFound, NotPossibleNow))
async def cancel(caller: Customer, withdrawal_id: WithdrawalId, parts: AppParts) -> WithdrawalBody:
    """Cancel it, as long as the bank has not been asked; what was frozen is available again."""
    refuse_if_final(await _own(parts, caller, withdrawal_id))
    await parts.engine.cancel(withdrawal_id, caller.subject)
    return show_withdrawal(await run_in_threadpool(parts.reads.withdrawal, withdrawal_id), caller)


@routes.get("/{withdrawal_id}", responses=refused_with(NotFound))
async def read(caller: Reader, withdrawal_id: WithdrawalId, parts: AppParts) -> WithdrawalBody:
    """One withdrawal."""
    return show_withdrawal(await _readable(parts, caller, withdrawal_id), caller)


@routes.get("/{withdrawal_id}/events", responses=refused_with(NotFound))
async def read_events(caller: Reader, withdrawal_id: WithdrawalId, parts: AppParts) -> EventsBody:
    """What happened to it, when and by whom, oldest first."""
    await _readable(parts, caller, withdrawal_id)
    events = await run_in_threadpool(parts.reads.events, withdrawal_id)
    return EventsBody(items=[show_event(event, caller) for event in events])


@routes.get("", responses=refused_with(NotFound, InvalidRequest))
async def read_record(
    caller: Reader,
    parts: AppParts,
    account_id: Annotated[AccountId | None, Query(description="A customer's own if left out.")] = None,
    status: Annotated[Status | None, Query()] = None,
    created_since: Annotated[Moment | None, Query(description="Inclusive.")] = None,
    created_until: Annotated[Moment | None, Query(description="Exclusive.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.", pattern=PATTERN)] = None,
) -> RecordBody:
    """The Withdrawal Record, newest first."""
    if not caller.sees_every_account:
        account_id = caller.own_account(account_id or caller.account_id or "")
    wanted = RecordFilter(account_id, status, created_since, created_until)
    after = None if cursor is None else _place(cursor)
    # One more than asked for tells whether there is a next page.
    records = await run_in_threadpool(parts.reads.withdrawals, wanted, limit=limit + 1, after=after)
    page = records[:limit]
    more = len(records) > limit
    return RecordBody(
        items=[show_withdrawal(record, caller) for record in page],
        next_cursor=cursor_of(Place(page[-1].created_at, page[-1].id)) if more else None,
    )


def refuse_if_final(record: WithdrawalRecord) -> None:
    """``NotPossibleNow`` for a withdrawal that is over, before a run is started for it again."""
    if record.status.is_final:
        raise NotPossibleNow(status=record.status)


def _refuse_if_over_for_code(record: WithdrawalRecord) -> None:
    if record.status is Status.EXPIRED:
        raise CodeExpired
    refuse_if_final(record)


async def _readable(parts: Parts, caller: Caller, withdrawal_id: UUID) -> WithdrawalRecord:
    if not caller.sees_every_account:
        return await _own(parts, caller, withdrawal_id)
    return await run_in_threadpool(parts.reads.withdrawal, withdrawal_id)


async def _own(parts: Parts, caller: Caller, withdrawal_id: UUID) -> WithdrawalRecord:
    return await run_in_threadpool(parts.reads.withdrawal, withdrawal_id, of=_account_of(caller))


def _account_of(caller: Caller) -> str:
    """The customer's calls change only their own, whatever else the caller may read."""
    if caller.account_id is None:
        raise NotFound
    return caller.account_id


async def _open(parts: Parts, withdrawal_id: UUID, applied: Standing | None = None) -> bool:
    """True once the run has answered; what it refused is in the row."""
    try:
        await parts.engine.open(withdrawal_id, applied)
    except TemporarilyUnavailable:
        return False
    except Refusal:
        return True
    return True


async def _drive_again(parts: Parts, withdrawal_id: UUID) -> None:
    """A repeat after a 202 starts the run that may never have been started."""
    record = await run_in_threadpool(parts.reads.withdrawal, withdrawal_id)
    if not record.status.is_final:
        await _open(parts, withdrawal_id)


def _first_answer(parts: Parts, caller: Caller, withdrawal_id: UUID, key: str, *, opened: bool) -> FirstAnswer:
    """What is answered, and kept under the key."""
    record = parts.reads.withdrawal(withdrawal_id)
    if record.status is Status.FAILED and record.window is None:
        answer = FirstAnswer(422, NotEligible(record.failure).facts())
    else:
        answer = FirstAnswer(201 if opened else 202, show_withdrawal(record, caller).model_dump(mode="json"))
    parts.applications.remember(record.account_id, key, answer)
    return answer


def _answer(answer: FirstAnswer, request: Request, *, replayed: bool) -> JSONResponse:
    headers = {"Idempotency-Replayed": "true"} if replayed else {}
    if answer.status == 422:
        return problem_response(NotEligible.from_facts(answer.body), request_id_of(request), headers)
    headers["Location"] = f"/v1/withdrawals/{answer.body['id']}"
    return JSONResponse(answer.body, answer.status, headers)


def _digest(form: ApplicationForm) -> bytes:
    """Over what was understood: neither the order of keys nor white space makes another request."""
    canonical = json.dumps(form.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).digest()


def _place(cursor: str) -> Place:
    try:
        return place_of(cursor)
    except ValueError as error:
        raise InvalidRequest([{"code": "invalid", "message": str(error), "field": "cursor"}]) from error
