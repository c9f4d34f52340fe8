"""Calls from outside to the API and the sandbox, each in the journal, and none that fails for a fault."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import httpx

from chaos.journal import Journal, Json, Operation, Outcome
from stack.local import LocalStack

CALL_SECONDS = 20.0
_CONNECTIONS = httpx.Limits(max_connections=64, max_keepalive_connections=32)

# What no fault explains: the programme calls as the contract says, so these are somebody's bug.
_SURPRISES = frozenset(
    {"internal_error", "invalid_request", "unauthenticated", "forbidden", "not_found", "method_not_allowed"}
)


class GaveUp(Exception):
    """The time for it is over, and its outcome is still unknown or not as wanted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 and no body if nothing did."""

    outcome: Outcome
    status: int = 0
    body: Json = field(default_factory=dict)

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class Calls:
    """One client for all threads; tokens are asked for once and kept."""

    def __init__(self, stack: LocalStack, journal: Journal, *, until: float) -> None:
        self.journal = journal
        self.surprises: list[str] = []
        self._until = until
        self._api = httpx.Client(base_url=stack.api_url, trust_env=False, timeout=CALL_SECONDS, limits=_CONNECTIONS)
        self._sandbox = httpx.Client(base_url=stack.sandbox_url, trust_env=False, timeout=5, limits=_CONNECTIONS)
        self._tokens: dict[tuple[str, str, str], str] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Gives the connections back."""
        self._api.close()
        self._sandbox.close()

    def api(
        self,
        kind: str,
        method: str,
        path: str,
        *,
        account_id: str,
        bearer: dict[str, str],
        body: Json | None = None,
        facts: Json | None = None,
        expected: Collection[str] = (),
    ) -> Answer:
        """One call. `expected` names refusals that are asked for on purpose and are no surprise."""
        facts = facts or {}
        number, invoked_at = self.journal.invoke(kind, account_id, facts), time.monotonic()
        try:
            answer = _read(self._api.request(method, path, json=body, headers=bearer))
        except httpx.HTTPError:
            answer = Answer(Outcome.UNKNOWN)
        ended_at = time.monotonic()
        self.journal.end(
            number,
            Operation(kind, account_id, invoked_at, ended_at, answer.outcome, answer.status, facts, answer.body),
        )
        if answer.status == 500 or (answer.code in _SURPRISES and answer.code not in expected):
            self.surprises.append(f"{kind} of {account_id} {facts} was answered {answer.status} {answer.code}")
        return answer

    def sandbox(self, kind: str, method: str, path: str, body: Json | None = None) -> Answer:
        """One call to the sandbox's own doors; in the journal only as what it does to the stack."""
        invoked_at = time.monotonic()
        try:
            answer = _read(self._sandbox.request(method, path, json=body))
        except httpx.HTTPError:
            return Answer(Outcome.UNKNOWN)
        if answer.outcome is Outcome.OK:
            self.journal.ended.append(
                Operation(kind, "", invoked_at, time.monotonic(), answer.outcome, answer.status, {}, {})
            )
        return answer

    def forged_notification(self, kind: str, body: str, headers: dict[str, str]) -> Answer:
        """To the door of the bank's notifications, from somebody who is not the bank."""
        self.journal.note("forged_notification", forgery=kind, body=body)
        try:
            return _read(self._api.post("/v1/bank-notifications", content=body, headers=headers))
        except httpx.HTTPError:
            return Answer(Outcome.UNKNOWN)

    def bearer(self, scope: str, sub: str, account_id: str = "") -> dict[str, str]:
        """The header with a token for this person; raises GaveUp."""
        who = (scope, sub, account_id)
        with self._lock:
            token = self._tokens.get(who)
        if token is None:
            claims = {"scope": scope, "sub": sub} | ({"account_id": account_id} if account_id else {})
            token = str(self.until_ok(lambda: self.sandbox("token", "POST", "/_sandbox/token", claims))["access_token"])
            with self._lock:
                self._tokens[who] = token
        return {"Authorization": f"Bearer {token}"}

    def until_ok(self, call: Callable[[], Answer]) -> Json:
        """Repeats a call that is safe to repeat until it succeeds; raises GaveUp."""
        answer = self.until_known(call)
        if answer.outcome is not Outcome.OK:
            raise GaveUp(f"{answer.status} {answer.code}")
        return answer.body

    def until_known(self, call: Callable[[], Answer]) -> Answer:
        """Repeats a call that is safe to repeat until its outcome is known; raises GaveUp."""
        pause = 0.1
        while (answer := call()).outcome is Outcome.UNKNOWN or answer.code == "idempotency_key_in_use":
            self.wait(pause)
            pause = min(2 * pause, 2.0)
        return answer

    def wait(self, seconds: float) -> None:
        """Raises GaveUp when the time for everything is over."""
        if time.monotonic() + seconds > self._until:
            raise GaveUp("the time is over")
        time.sleep(seconds)


def _read(response: httpx.Response) -> Answer:
    definite = Outcome.OK if response.is_success else Outcome.FAIL
    outcome = Outcome.UNKNOWN if response.is_server_error else definite
    try:
        body = response.json() if response.content else {}
    except ValueError:
        return Answer(Outcome.UNKNOWN, response.status_code)
    return Answer(outcome, response.status_code, body if isinstance(body, dict) else {"items": body})
