"""One request to the console: who it is, in which language, what was sent, and the page that answers it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, cast
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from fastapi import Depends, Path, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.api_client import ApiClient, Calls, Refused
from console.corner import corner
from console.languages import Language, preferred
from console.people import Person
from console.rendering import Templates
from console.sandbox_world import SandboxWorld
from console.seals import Seals
from console.settings import Settings

SESSION, BROWSER, LANGUAGE, NOTICE, DRAFT = (
    "console_session",
    "console_browser",
    "console_language",
    "console_notice",
    "console_draft",
)
LIVE = "X-Live"
"""The header of our script's own reading again. It does not count as the person's being there."""

DRAFT_LASTS_S = 900
LARGEST_FORM = 32 * 1024
YEAR_S = 365 * 86_400


@dataclass(frozen=True)
class Parts:
    """What the pages work with."""

    settings: Settings
    seals: Seals
    languages: Mapping[str, Language]
    templates: Templates
    api: ApiClient
    sandbox: SandboxWorld | None


class LogInNeeded(Exception):
    """Nobody is logged in, or not as somebody for whom this page is."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        super().__init__("log in")


class ForgedForm(Exception):
    """The form does not come from a page of ours for this person in this browser."""


class FormTooLarge(Exception):
    """More than any form of ours."""


@dataclass
class Visit:
    """Made for each request; ``form`` is empty for anything but a POST."""

    request: Request
    parts: Parts
    language: Language
    person: Person | None
    session: dict[str, Any]
    browser: str
    was: Person | None
    """Whose session it was, where it is over."""
    form: dict[str, str] = field(default_factory=dict, repr=False)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    shown: set[str] = field(default_factory=set)
    """The cookies whose content this page shows, and which are over with it."""

    @property
    def calls(self) -> Calls:
        """The API, as the person in front of us."""
        assert self.person is not None
        return self.parts.api.of(self.person)

    @property
    def is_live(self) -> bool:
        """True where our script only looks whether something changed."""
        return LIVE in self.request.headers

    @property
    def path(self) -> str:
        """The page's own address, for coming back to it."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    async def page(self, template: str, status: int = HTTPStatus.OK, **context: Any) -> Response:
        """The rendered page."""
        notice = self._notice()
        context = {"notice": notice, "corner": await corner(self, context), **context}
        words = self.parts.templates.render(self, template, context)
        response = HTMLResponse(words, status)
        for cookie in self.shown:
            response.delete_cookie(cookie)
        return self.finish(response)

    def go(self, where: str, *, notice: str | None = None) -> Response:
        """On to another page, which shows ``notice`` once."""
        response = RedirectResponse(where, HTTPStatus.SEE_OTHER)
        if notice is not None:
            self._set(response, NOTICE, notice, max_age=60)
        return self.finish(response)

    def log_in(self, person: Person, where: str) -> Response:
        """Begins a session of this person, in a new browser id: what was signed before is no longer good."""
        self.person, self.browser, self.was = person, secrets.token_urlsafe(16), None
        self.session = {"person": person.as_json(), "began": int(time.time())}
        response = self.go(where)
        self._set(response, BROWSER, self.browser, max_age=YEAR_S)
        return response

    def log_out(self, where: str) -> Response:
        """Ends it in this browser."""
        self.person, self.session = None, {}
        response = RedirectResponse(where, HTTPStatus.SEE_OTHER)
        for cookie in (SESSION, NOTICE, DRAFT):
            response.delete_cookie(cookie)
        return self.finish(response)

    def keep(self, name: str, value: dict[str, str]) -> None:
        """Remembers something in the session, away from the address of the page."""
        self.session = {**self.session, name: value}

    def keep_draft(self, response: Response) -> None:
        """Keeps what was typed for a quarter of an hour, for the same person to come back to."""
        if self.was is not None and self.form:
            form = {name: value for name, value in self.form.items() if name != "form_token"}
            sealed = self.parts.seals.seal("draft", {"path": self.path, "subject": self.was.subject, "form": form})
            self._set(response, DRAFT, sealed, max_age=DRAFT_LASTS_S)

    def take_draft(self) -> dict[str, str]:
        """The form that this person had typed when their session ended."""
        sealed = self.request.cookies.get(DRAFT, "")
        kept = self.parts.seals.open("draft", sealed, lasts_s=DRAFT_LASTS_S)
        if kept is None or self.person is None or (kept["subject"], kept["path"]) != (self.person.subject, self.path):
            return {}
        self.shown.add(DRAFT)
        return cast(dict[str, str], kept["form"])

    def form_token(self) -> str:
        """What every form of this page carries."""
        return self.parts.seals.form_token(self.browser, self.person.subject if self.person else "")

    def finish(self, response: Response) -> Response:
        """Sets what the browser keeps for us. A session goes on with every page that a person asked for."""
        if self.request.cookies.get(BROWSER) != self.browser:
            self._set(response, BROWSER, self.browser, max_age=YEAR_S)
        if self.session and self.person is not None and not self.is_live and self.person.token is None:
            sealed = self.parts.seals.seal("session", self.session)
            self._set(response, SESSION, sealed, max_age=self.parts.settings.session_lasts_s)
        return response

    def set_language(self, response: Response, code: str) -> None:
        """From now on in this language."""
        self._set(response, LANGUAGE, code, max_age=YEAR_S)

    def _notice(self) -> str | None:
        notice = self.request.cookies.get(NOTICE)
        if notice is None or self.is_live:
            return None
        self.shown.add(NOTICE)
        return notice

    def _set(self, response: Response, name: str, value: str, *, max_age: int) -> None:
        # Lax and not Strict: a link in a mail to the Withdrawal Record finds its reader logged in. Every change is a
        # POST, which Lax keeps other sites' pages from sending with the cookie.
        secure = self.parts.settings.secure_cookies
        response.set_cookie(name, value, max_age=max_age, httponly=True, samesite="lax", secure=secure)


async def visit(request: Request) -> Visit:
    """Who comes, and what they send. Every POST has to carry the token of one of our own pages."""
    parts = cast(Parts, request.app.state.parts)
    found = _recognise(request, parts)
    if request.method == "POST":
        found.form = await _read_form(request)
        _refuse_foreign(found)
    return found


async def _person_of(visited: Visit, *, customer: bool) -> Visit:
    person = visited.person
    if person is None or not (person.is_customer if customer else person.is_finance):
        raise LogInNeeded(visited)
    return visited


async def customers_visit(visited: Annotated[Visit, Depends(visit)]) -> Visit:
    """By a customer; anybody else is asked to log in as one."""
    return await _person_of(visited, customer=True)


async def desk_visit(visited: Annotated[Visit, Depends(visit)]) -> Visit:
    """By somebody of finance."""
    return await _person_of(visited, customer=False)


def withdrawal_id_in_path(withdrawal_id: Annotated[str, Path()]) -> str:
    """What is no UUID is no withdrawal; so nothing else gets into the path of a call."""
    try:
        return str(UUID(withdrawal_id))
    except ValueError:
        raise Refused(HTTPStatus.NOT_FOUND, {"code": "not_found"}, None) from None


AnyVisit = Annotated[Visit, Depends(visit)]
CustomersVisit = Annotated[Visit, Depends(customers_visit)]
DeskVisit = Annotated[Visit, Depends(desk_visit)]
WithdrawalId = Annotated[str, Depends(withdrawal_id_in_path)]


def visit_without_form(request: Request) -> Visit:
    """For the page that answers a failure, whatever was sent."""
    return _recognise(request, cast(Parts, request.app.state.parts))


def own_path(where: str, otherwise: str) -> str:
    """``where`` if it is a path of this console: a link must not lead through us to somebody else."""
    parts = urlsplit(where)
    ours = where.startswith("/") and not where.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return where if ours and where.isprintable() else otherwise


def _recognise(request: Request, parts: Parts) -> Visit:
    cookies = request.cookies
    code = cookies.get(LANGUAGE, "")
    language = parts.languages.get(code) or parts.languages[preferred(request.headers.get("Accept-Language", ""))]
    session: dict[str, Any] = {}
    was: Person | None = None
    if parts.sandbox is None:
        person = _of_header(request)
    else:
        session, last = _session(request, parts)
        person, was = (last, None) if session else (None, last)
    browser = cookies.get(BROWSER, "")
    return Visit(
        request=request,
        parts=parts,
        language=language,
        person=person,
        session=session,
        browser=browser if 16 <= len(browser) <= 64 else secrets.token_urlsafe(16),
        was=was,
    )


def _session(request: Request, parts: Parts) -> tuple[dict[str, Any], Person | None]:
    """The session, empty once it is over, and whose it is or was."""
    settings, seals = parts.settings, parts.seals
    sealed = request.cookies.get(SESSION, "")
    last = seals.open("session", sealed, lasts_s=settings.session_lasts_s + DRAFT_LASTS_S)
    if last is None:
        return {}, None
    person = Person.from_json(last["person"])
    idle = seals.open("session", sealed, lasts_s=settings.session_idle_s) is None
    return ({} if idle or time.time() > last["began"] + settings.session_lasts_s else last), person


def _of_header(request: Request) -> Person | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return Person.of_token(token) if scheme.lower() == "bearer" else None


async def _read_form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise FormTooLarge
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        return {}
    # NUL and lone surrogates are no text; the API would refuse the whole body for them.
    return {name: value.replace("\x00", "") for name, value in pairs}


def _refuse_foreign(found: Visit) -> None:
    site = found.request.headers.get("Sec-Fetch-Site", "same-origin")
    # A form from before the session ended is still that person's; the log-in page's is nobody's yet.
    subjects = {"", found.was.subject if found.was else ""} if found.person is None else {found.person.subject}
    token = found.form.get("form_token", "")
    ours = any(found.parts.seals.form_is_ours(token, found.browser, subject) for subject in subjects)
    if site not in ("same-origin", "none") or not ours:
        found.form = {}
        raise ForgedForm
