"""The customer's way: the Withdrawal page, Withdrawal Information, Phone Verification, and *received*."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from console import refusals
from console.amounts import as_decimal, read_amount, read_digits, same_name
from console.api_client import Away, Json, Refused
from console.record import page_of_record
from console.refusals import Errors
from console.visits import CustomersVisit, Visit, WithdrawalId
from console.words import OPEN

routes = APIRouter(prefix="/billing/withdrawal")

HERE = "/billing/withdrawal"
FIELDS = ("amount", "account_name", "bank_name", "branch_name", "card_number")
TRIES, SENDS, RESEND_AFTER = 5, 5, timedelta(seconds=60)
"""As the API has them; the page counts down by them, and the API decides."""


@routes.get("")
async def withdrawal_page(visit: CustomersVisit) -> Response:
    """What can be withdrawn and why not more, and the Withdrawal Record at the bottom."""
    account = await visit.calls.account()
    record = await page_of_record(visit)
    in_progress = next((one for one in record.items if one["status"] in OPEN), None)
    if in_progress is None and _blocks(account, "withdrawal_in_progress"):
        in_progress = await _find_open(visit)
    return await visit.page(
        "withdrawal.html",
        account=account,
        blockers=_blockers(visit, account),
        available=Decimal(account["cash_balance"]) - Decimal(account["frozen"]),
        in_progress=in_progress,
        record=record,
    )


@routes.get("/apply")
async def ask_information(visit: CustomersVisit) -> Response:
    """Withdrawal Information. The key makes sending the form twice harmless."""
    assert visit.person is not None
    account = await visit.calls.account()
    kept = visit.take_draft()
    form = {name: kept.get(name, "") for name in FIELDS} | {"key": kept.get("key") or str(uuid.uuid4())}
    if not kept:
        form["account_name"] = visit.person.name
        if visit.parts.sandbox is not None and visit.person.card and "sample" in visit.request.query_params:
            form |= visit.person.card
    return await _show_information(visit, account, form, kept=bool(kept))


@routes.post("/apply")
async def apply(visit: CustomersVisit) -> Response:
    """Confirm: on to the phone verification, or back with every error at once and everything that was typed."""
    assert visit.person is not None
    account: Json | None = None
    try:
        account = await visit.calls.account()
        if visit.form.get("all") == "yes":
            form = visit.form | {"amount": account["withdrawable"]}
            return await _show_information(visit, account, form)
        withdrawal = await visit.calls.apply(_application(visit), key=visit.form.get("key", ""))
    except Refused as refused:
        if refused.status == HTTPStatus.NOT_FOUND:
            raise
        return await _show_information(visit, account, visit.form, _errors(visit, refused, account), refused)
    except Away:
        errors = Errors(general=[visit.language.gettext(refusals.AWAY)])
        return await _show_information(visit, account, visit.form, errors)
    return visit.go(f"{HERE}/{withdrawal['id']}/verification")


@routes.get("/{withdrawal_id}/verification")
async def ask_code(visit: CustomersVisit, withdrawal_id: WithdrawalId) -> Response:
    """Phone Verification."""
    return await _show_verification(visit, withdrawal_id)


@routes.post("/{withdrawal_id}/verification")
async def enter_code(visit: CustomersVisit, withdrawal_id: WithdrawalId) -> Response:
    """Confirm: the code is right, or how many tries are left."""
    errors = refusals.missing(visit.language, visit.form, ("code",))
    status: int = HTTPStatus.UNPROCESSABLE_ENTITY
    if not errors:
        try:
            await visit.calls.verify(withdrawal_id, read_digits(visit.form["code"]))
            return visit.go(f"{HERE}/{withdrawal_id}/received")
        except Refused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                raise
            status = refused.status
            errors = refusals.explain(visit.language, refused)
            if refused.code == "wrong_code":
                errors = Errors(fields={"code": errors.general[0]})
        except Away:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            errors = Errors(general=[visit.language.gettext(refusals.AWAY)])
    return await _show_verification(visit, withdrawal_id, errors, status)


@routes.post("/{withdrawal_id}/resend")
async def resend(visit: CustomersVisit, withdrawal_id: WithdrawalId) -> Response:
    """Another code, which replaces the one before."""
    try:
        await visit.calls.resend(withdrawal_id)
    except Refused as refused:
        if refused.status == HTTPStatus.NOT_FOUND:
            raise
        errors = refusals.explain(visit.language, refused)
        return await _show_verification(visit, withdrawal_id, errors, refused.status)
    except Away:
        errors = Errors(general=[visit.language.gettext(refusals.AWAY)])
        return await _show_verification(visit, withdrawal_id, errors, HTTPStatus.SERVICE_UNAVAILABLE)
    return visit.go(f"{HERE}/{withdrawal_id}/verification", notice="code_sent")


@routes.get("/{withdrawal_id}/received")
async def received(visit: CustomersVisit, withdrawal_id: WithdrawalId) -> Response:
    """Rule 9: the application has been received, and when the money arrives."""
    withdrawal = await visit.calls.withdrawal(withdrawal_id)
    if withdrawal["arrival_window"] is None:
        return visit.go(f"{HERE}/{withdrawal_id}")
    return await visit.page("received.html", withdrawal=withdrawal)


def _application(visit: Visit) -> Json:
    assert visit.person is not None
    form = visit.form
    return {
        "account_id": visit.person.account_id,
        "amount": read_amount(form.get("amount", "")),
        "bank_card": {
            "account_name": form.get("account_name", ""),
            "bank_name": form.get("bank_name", ""),
            "branch_name": form.get("branch_name", ""),
            "card_number": read_digits(form.get("card_number", "")),
        },
    }


def _errors(visit: Visit, refused: Refused, account: Json | None) -> Errors:
    """What the API found, and what it had not come to yet: what is empty, too much, or in another's name."""
    errors = refusals.missing(visit.language, visit.form, FIELDS)
    found = refusals.explain(visit.language, refused, account)
    for name, words in found.fields.items():
        errors.add(name, words)
    if refused.code == "invalid_request" and account is not None:
        amount = as_decimal(read_amount(visit.form.get("amount", "")))
        if amount is not None and amount > Decimal(account["withdrawable"]):
            errors.add("amount", refusals.too_much(visit.language, account))
        subject = visit.person.name if visit.person else ""
        if subject and not same_name(visit.form.get("account_name", ""), subject):
            errors.add("account_name", visit.language.gettext(refusals.NAME_MISMATCH))
    # As they stand in the form.
    in_order = {name: errors.fields[name] for name in FIELDS if name in errors.fields}
    return Errors(in_order, errors.general + found.general)


async def _show_information(
    visit: Visit,
    account: Json | None,
    form: dict[str, str],
    errors: Errors | None = None,
    refused: Refused | None = None,
    *,
    kept: bool = False,
) -> Response:
    status: int = HTTPStatus.OK
    if errors is not None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if refused is None else refused.status
    return await visit.page(
        "apply.html",
        status,
        account=account,
        blockers=_blockers(visit, account) if account and errors is None else [],
        form={name: form.get(name, "") for name in (*FIELDS, "key")},
        errors=errors or Errors(),
        in_progress_id=refused.facts.get("withdrawal_id") if refused else None,
        kept=kept,
    )


async def _show_verification(
    visit: Visit, withdrawal_id: str, errors: Errors | None = None, status: int = HTTPStatus.OK
) -> Response:
    try:
        withdrawal = await visit.calls.withdrawal(withdrawal_id)
        events = await visit.calls.events(withdrawal_id)
    except Away:
        if errors is None:
            raise
        # The code may be entered again once the API is back; the page says so and keeps its form.
        withdrawal, events = {"id": withdrawal_id, "status": "awaiting_verification"}, []
    if withdrawal["status"] != "awaiting_verification":
        return visit.go(f"{HERE}/{withdrawal_id}", notice="code_over" if errors else None)
    return await visit.page(
        "verification.html",
        status,
        withdrawal=withdrawal,
        errors=errors or Errors(),
        **_standing_of_code(events, visit.now),
    )


def _standing_of_code(events: list[Json], now: datetime) -> dict[str, Any]:
    """How many tries and sends are left, and in how many seconds another code can be asked for."""
    wrong = [event for event in events if event["kind"] == "wrong_code"]
    sent = [datetime.fromisoformat(event["at"]) for event in events if event["kind"] == "code_sent"]
    soonest = sent[-1] + RESEND_AFTER if sent else now.astimezone(UTC)
    return {
        "tries_left": wrong[-1]["data"].get("attempts_left", TRIES) if wrong else TRIES,
        "sends_left": SENDS - len(sent),
        "resend_in": max(0, round((soonest - now).total_seconds())),
    }


def _blocks(account: Json, code: str) -> bool:
    return any(reason["code"] == code for reason in account["blockers"])


def _blockers(visit: Visit, account: Json) -> list[tuple[str, str, str]]:
    return [
        (reason["code"], *refusals.blocker(visit.language, reason["code"], account)) for reason in account["blockers"]
    ]


async def _find_open(visit: Visit) -> Json | None:
    for status in sorted(OPEN):
        found = await visit.calls.record(status=status, limit=1)
        if found["items"]:
            open_one: Json = found["items"][0]
            return open_one
    return None
