"""The finance desk: what waits for a decision, what is under review, the differences, and a search."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from console import refusals
from console.api_client import Away, Json, Refused
from console.marks import mark
from console.refusals import Errors
from console.visits import DeskVisit, Visit, WithdrawalId
from console.words import STATUSES

routes = APIRouter(prefix="/desk")

HERE = "/desk"
PAGE = 20
_ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

NOTHING_LIKE_IT = mark(
    "Enter the id of an account or of a withdrawal; names and cards are encrypted and cannot be searched."
)


@routes.get("")
async def queue(visit: DeskVisit) -> Response:
    """What waits for a decision."""
    return await _show_list(visit, "desk_queue.html", "awaiting_approval", HERE)


@routes.get("/review")
async def under_review(visit: DeskVisit) -> Response:
    """Transfers whose outcome the bank did not tell."""
    return await _show_list(visit, "desk_review.html", "under_review", f"{HERE}/review")


@routes.get("/withdrawals/{withdrawal_id}")
async def one(visit: DeskVisit, withdrawal_id: WithdrawalId) -> Response:
    """Everything finance needs for a decision or a resolution."""
    return await _show_one(visit, withdrawal_id)


@routes.post("/withdrawals/{withdrawal_id}/decision")
async def decide(visit: DeskVisit, withdrawal_id: WithdrawalId) -> Response:
    """Approve or reject."""
    decision = visit.form.get("decision", "")
    try:
        decided = await visit.calls.decide(withdrawal_id, decision, visit.form.get("note", ""))
    except (Refused, Away) as failed:
        return await _show_failed(visit, withdrawal_id, failed)
    if decision == "reject":
        return visit.go(f"{HERE}/withdrawals/{withdrawal_id}", notice="rejected")
    waits = decided["status"] == "awaiting_approval"
    return visit.go(f"{HERE}/withdrawals/{withdrawal_id}", notice="approved_first" if waits else "approved")


@routes.post("/withdrawals/{withdrawal_id}/resolution")
async def resolve(visit: DeskVisit, withdrawal_id: WithdrawalId) -> Response:
    """What became of the transfer, and what that is based on."""
    errors = refusals.missing(visit.language, visit.form, ("outcome", "evidence"))
    if errors:
        return await _show_one(visit, withdrawal_id, errors, HTTPStatus.UNPROCESSABLE_ENTITY)
    try:
        resolved = await visit.calls.resolve(withdrawal_id, visit.form["outcome"], visit.form["evidence"])
    except (Refused, Away) as failed:
        return await _show_failed(visit, withdrawal_id, failed)
    # Above the limit it takes a second person to say the same.
    waits = resolved["status"] == "under_review"
    return visit.go(f"{HERE}/withdrawals/{withdrawal_id}", notice="resolved_first" if waits else "resolved")


@routes.get("/differences")
async def differences(visit: DeskVisit) -> Response:
    """Where the bank's book and ours differ; for those who may see it."""
    return await _show_differences(visit)


@routes.post("/differences/{difference_id}")
async def close_difference(visit: DeskVisit, difference_id: int) -> Response:
    """Somebody has dealt with it, and says how."""
    errors = refusals.missing(visit.language, visit.form, ("note",))
    if not errors:
        try:
            await visit.calls.close_difference(difference_id, visit.form["note"])
            return visit.go(f"{HERE}/differences", notice="closed")
        except Refused as refused:
            errors = refusals.explain(visit.language, refused)
    return await _show_differences(visit, errors, difference_id)


@routes.get("/search")
async def show_search(visit: DeskVisit) -> Response:
    """What was searched for is in the session, not in the address."""
    wanted = visit.session.get("search") or {}
    return await _show_search(visit, wanted)


@routes.post("/search")
async def search(visit: DeskVisit) -> Response:
    """By withdrawal, or by account and status."""
    wanted = {name: visit.form.get(name, "").strip()[:100] for name in ("text", "status")}
    withdrawal_id = _as_uuid(wanted["text"].removeprefix("withdrawal-"))
    if withdrawal_id is not None:
        return visit.go(f"{HERE}/withdrawals/{withdrawal_id}")
    if wanted["text"] and _ACCOUNT_ID.fullmatch(wanted["text"]) is None:
        errors = Errors(fields={"text": visit.language.gettext(NOTHING_LIKE_IT)})
        return await _show_search(visit, wanted, errors)
    if visit.person is not None and visit.person.token is not None:
        # In production there is no session of ours to keep it in.
        return await _show_search(visit, wanted)
    visit.keep("search", wanted)
    return visit.go(f"{HERE}/search")


async def _show_list(visit: Visit, template: str, status: str, here: str) -> Response:
    cursor = visit.request.query_params.get("cursor")
    page = await visit.calls.record(status=status, limit=PAGE, cursor=cursor)
    # Who applied is known to the events alone.
    told = await asyncio.gather(*(visit.calls.events(one["id"]) for one in page["items"]))
    following = page["next_cursor"]
    return await visit.page(
        template,
        items=[one | {"applicant": _applicant(events)} for one, events in zip(page["items"], told, strict=True)],
        next_page=f"{here}?{urlencode({'cursor': following})}" if following else None,
        is_first=cursor is None,
    )


async def _show_one(
    visit: Visit, withdrawal_id: str, errors: Errors | None = None, status: int = HTTPStatus.OK
) -> Response:
    withdrawal = await visit.calls.withdrawal(withdrawal_id)
    events = await visit.calls.events(withdrawal_id)
    return await visit.page(
        "desk_one.html",
        status,
        withdrawal=withdrawal | {"applicant": _applicant(events)},
        events=events,
        stopped=_stopped(visit, withdrawal, events),
        form=visit.form,
        errors=errors or Errors(),
    )


async def _show_failed(visit: Visit, withdrawal_id: str, failed: Refused | Away) -> Response:
    """Back with what was typed and the words of the refusal."""
    if isinstance(failed, Refused):
        if failed.status == HTTPStatus.NOT_FOUND:
            raise failed
        return await _show_one(visit, withdrawal_id, refusals.explain(visit.language, failed), failed.status)
    errors = Errors(general=[visit.language.gettext(refusals.AWAY)])
    return await visit.page("desk_away.html", HTTPStatus.SERVICE_UNAVAILABLE, form=visit.form, errors=errors)


def _stopped(visit: Visit, withdrawal: Json, events: list[Json]) -> str | None:
    """Why the four-eyes rule stops this person, before they try."""
    assert visit.person is not None
    subject = visit.person.subject
    if _applicant(events) == subject:
        return "applied"
    if any(given["approver"] == subject for given in withdrawal["approvals"]["given"]):
        return "approved"
    if withdrawal["status"] == "under_review" and any(
        event["by"] == subject and event["kind"].startswith("resol") for event in events
    ):
        return "resolved"
    return None


def _applicant(events: list[Json]) -> str:
    return next((str(event["by"]) for event in events if event["kind"] == "applied"), "")


async def _show_differences(visit: Visit, errors: Errors | None = None, difference_id: int | None = None) -> Response:
    found: dict[str, Any] | None = None
    if visit.person is not None and visit.person.is_operator:
        found = await visit.calls.differences()
    return await visit.page(
        "desk_differences.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        found=found,
        form=visit.form,
        errors=errors or Errors(),
        about=difference_id,
    )


async def _show_search(visit: Visit, wanted: dict[str, str], errors: Errors | None = None) -> Response:
    items: list[Json] | None = None
    text, status = wanted.get("text", ""), wanted.get("status", "")
    if errors is None and (text or status):
        page = await visit.calls.record(
            account_id=text or None, status=status if status in STATUSES else None, limit=PAGE
        )
        items = page["items"]
    return await visit.page(
        "desk_search.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        wanted={"text": text, "status": status},
        items=items,
        errors=errors or Errors(),
    )


def _as_uuid(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
