"""The Withdrawal Record: every application, its details with what happened and what comes next, cancel, and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from http import HTTPStatus
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from console import refusals, words
from console.api_client import Away, Json, Refused
from console.languages import SHANGHAI, Language
from console.marks import mark
from console.refusals import Errors
from console.visits import CustomersVisit, Visit, WithdrawalId

routes = APIRouter(prefix="/billing/withdrawal")

HERE = "/billing/withdrawal"
PAGE = 10
PAGE_OF_EXPORT = 100
LONGEST_EXPORT = 10_000

BAD_DATE = mark("Enter a date such as 2026-11-25.")
WRONG_ORDER = mark("This is before the other date.")


@dataclass(frozen=True)
class RecordPage:
    """A page of the record and the filter it was read with. Nothing personal is in the addresses."""

    items: list[Json]
    wanted: dict[str, str]
    errors: Errors
    next_page: str | None = None
    newest: str | None = None
    export: str = ""

    @property
    def is_filtered(self) -> bool:
        return any(self.wanted.values())


@dataclass
class _Filter:
    """Whole days in Shanghai, both included."""

    wanted: dict[str, str]
    errors: Errors = field(default_factory=Errors)
    params: dict[str, str] = field(default_factory=dict)


async def page_of_record(visit: Visit) -> RecordPage:
    """What the address asks for; a filter that makes no sense is said beside its field, and shows nothing."""
    asked = visit.request.query_params
    chosen = _read_filter(visit)
    query = {name: value for name, value in chosen.wanted.items() if value}
    export = f"{HERE}/record.csv?{urlencode(query)}"
    if chosen.errors:
        return RecordPage([], chosen.wanted, chosen.errors, export=export)
    cursor = asked.get("cursor")
    try:
        page = await visit.calls.record(limit=PAGE, cursor=cursor, **chosen.params)
    except Refused as refused:
        # A cursor nobody gave out: from the beginning.
        if cursor is None or refused.code != "invalid_request":
            raise
        cursor, page = None, await visit.calls.record(limit=PAGE, **chosen.params)
    following = page["next_cursor"]
    return RecordPage(
        page["items"],
        chosen.wanted,
        chosen.errors,
        next_page=f"{HERE}?{urlencode(query | {'cursor': following})}#record" if following else None,
        newest=f"{HERE}?{urlencode(query)}#record" if cursor else None,
        export=export,
    )


@routes.get("/record.csv")
async def export(visit: CustomersVisit) -> Response:
    """The whole record as the filter has it, for a spreadsheet."""
    chosen = _read_filter(visit)
    if chosen.errors:
        return visit.go(HERE)
    # The first page before the headers are sent: an API that is away is still told on a page.
    first = await visit.calls.record(limit=PAGE_OF_EXPORT, **chosen.params)
    name = f"withdrawals-{visit.now.astimezone(SHANGHAI):%Y%m%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    rows = _rows(visit, first, chosen.params)
    return visit.finish(StreamingResponse(rows, media_type="text/csv; charset=utf-8", headers=headers))


@routes.get("/{withdrawal_id}")
async def details(visit: CustomersVisit, withdrawal_id: WithdrawalId) -> Response:
    """One application: what happened and what comes next."""
    return await _show_details(visit, withdrawal_id)


@routes.get("/{withdrawal_id}/cancel")
async def ask_cancel(visit: CustomersVisit, withdrawal_id: WithdrawalId) -> Response:
    """Sure?"""
    withdrawal = await visit.calls.withdrawal(withdrawal_id)
    if withdrawal["status"] not in words.CANCELLABLE:
        return visit.go(f"{HERE}/{withdrawal_id}", notice="cancel_too_late")
    return await visit.page("cancel.html", withdrawal=withdrawal, errors=Errors())


@routes.post("/{withdrawal_id}/cancel")
async def cancel(visit: CustomersVisit, withdrawal_id: WithdrawalId) -> Response:
    """Cancels, unless the bank has been asked in the meantime."""
    try:
        await visit.calls.cancel(withdrawal_id)
    except Refused as refused:
        if refused.code == "not_possible_now":
            return visit.go(f"{HERE}/{withdrawal_id}", notice="cancel_too_late")
        if refused.status == HTTPStatus.NOT_FOUND:
            raise
        errors = refusals.explain(visit.language, refused)
        withdrawal = await visit.calls.withdrawal(withdrawal_id)
        return await visit.page("cancel.html", refused.status, withdrawal=withdrawal, errors=errors)
    except Away:
        errors = Errors(general=[visit.language.gettext(refusals.AWAY)])
        return await visit.page(
            "cancel.html", HTTPStatus.SERVICE_UNAVAILABLE, withdrawal={"id": withdrawal_id}, errors=errors
        )
    return visit.go(f"{HERE}/{withdrawal_id}", notice="cancelled")


async def _show_details(visit: Visit, withdrawal_id: str) -> Response:
    withdrawal = await visit.calls.withdrawal(withdrawal_id)
    events = await visit.calls.events(withdrawal_id)
    told = [
        event for event in events if event["kind"] in words.EVENTS and event["kind"] not in words.FOR_COLLEAGUES_ONLY
    ]
    return await visit.page("details.html", withdrawal=withdrawal, events=told)


def _read_filter(visit: Visit) -> _Filter:
    asked = visit.request.query_params
    status = asked.get("status", "")
    chosen = _Filter({"status": status if status in words.STATUSES else "", "since": "", "until": ""})
    if chosen.wanted["status"]:
        chosen.params["status"] = status
    days: dict[str, date] = {}
    for name in ("since", "until"):
        chosen.wanted[name] = asked.get(name, "").strip()[:20]
        day = _read_day(chosen.wanted[name])
        if day is not None:
            days[name] = day
        elif chosen.wanted[name]:
            chosen.errors.add(name, visit.language.gettext(BAD_DATE))
    if not chosen.errors and len(days) == 2 and days["until"] < days["since"]:
        chosen.errors.add("until", visit.language.gettext(WRONG_ORDER))
    if "since" in days:
        chosen.params["created_since"] = _midnight(days["since"])
    if "until" in days:
        chosen.params["created_until"] = _midnight(days["until"] + timedelta(days=1))
    return chosen


def _read_day(typed: str) -> date | None:
    try:
        day = date.fromisoformat(typed)
    except ValueError:
        return None
    # Years that the API or its database would stumble over are no dates of ours.
    return day if 2000 <= day.year <= 2200 else None


def _midnight(day: date) -> str:
    return datetime.combine(day, time(), SHANGHAI).isoformat()


HEADINGS = (
    mark("Application"),
    mark("Applied on"),
    mark("Amount (CNY)"),
    mark("Status"),
    mark("Account name"),
    mark("Bank"),
    mark("Branch"),
    mark("Card"),
    mark("Arrives from"),
    mark("Arrives until"),
    mark("Reason"),
)


async def _rows(visit: Visit, page: Json, params: dict[str, str]) -> AsyncIterator[str]:
    """A byte order mark first: spreadsheets take UTF-8 for something else without one."""
    language = visit.language
    yield "\ufeff" + _line([language.gettext(heading) for heading in HEADINGS])
    written = 0
    while True:
        for one in page["items"]:
            yield _line(_cells(language, one))
        written += len(page["items"])
        if page["next_cursor"] is None or written >= LONGEST_EXPORT:
            return
        page = await visit.calls.record(limit=PAGE_OF_EXPORT, cursor=page["next_cursor"], **params)


def _cells(language: Language, one: Json) -> list[str]:
    card, window, failure = one["bank_card"], one["arrival_window"] or {}, one["failure"]
    applied = datetime.fromisoformat(one["created_at"]).astimezone(SHANGHAI)
    return [
        one["id"],
        f"{applied:%Y-%m-%d %H:%M}",
        one["amount"],
        language.gettext(words.STATUSES[one["status"]][0]),
        card["account_name"],
        card["bank_name"],
        card["branch_name"],
        card["card_number"],
        window.get("earliest", ""),
        window.get("latest", ""),
        language.gettext(words.FAILURES.get(failure["code"], words.FAILED_SOMEHOW)) if failure else "",
    ]


_STARTS_A_FORMULA = tuple("=+-@\t\r\n＝＋－＠|%")


def plain_cell(text: str) -> str:
    """A cell that a spreadsheet takes for text: one that begins like a formula gets an apostrophe before it."""
    return f"'{text}" if text.lstrip().startswith(_STARTS_A_FORMULA) or text.startswith(_STARTS_A_FORMULA) else text


def _line(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([plain_cell(cell) for cell in cells])
    return line.getvalue()
