"""The sandbox as the console knows it: tokens for whoever is chosen, the SMS inbox, and what a card's bank does.

Nothing of this is reached in production, where ``CONSOLE_SANDBOX_URL`` is empty.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import httpx

from console.api_client import Away, Json
from console.people import Person

BEHAVIOURS = (
    "pay",
    "reject",
    "accept_then_fail",
    "pay_then_return",
    "silent",
    "time_out_after_booking",
    "unavailable:3",
)

RENEWED_BEFORE_S = 120
MOST_TOKENS = 1000

BILLING = Person(subject="console-sandbox", scopes=("billing",))
"""Plays the payment system behind *Top Up*, and registers the made-up customers."""


@dataclass
class SandboxWorld:
    """A client of the sandbox process. Tokens are kept here until shortly before they end."""

    http: httpx.AsyncClient
    _tokens: dict[tuple[str, str, str | None], tuple[float, str]] = field(default_factory=dict, repr=False)

    async def token_of(self, person: Person, anew: bool) -> str:
        """A token from the sandbox's issuer, which gives anyone anything."""
        wanted = (person.subject, " ".join(person.scopes), person.account_id)
        until, token = self._tokens.get(wanted, (0.0, ""))
        if anew or until < time.monotonic():
            body = {"sub": wanted[0], "scope": wanted[1]}
            if person.account_id is not None:
                body["account_id"] = person.account_id
            issued = (await self.http.post("/_sandbox/token", json=body)).raise_for_status().json()
            token = str(issued["access_token"])
            if len(self._tokens) >= MOST_TOKENS:
                self._tokens.clear()
            self._tokens[wanted] = (time.monotonic() + int(issued["expires_in"]) - RENEWED_BEFORE_S, token)
        return token

    async def inbox(self, phone: str) -> list[Json]:
        """The SMS on a phone, newest first; ``Away``."""
        answer = await self._ask("GET", "/_sandbox/messages", params={"phone": phone})
        messages: list[Json] = answer.json()
        return messages

    async def behaviour(self, card_number: str) -> str:
        """What happens to transfers to the card; ``Away``."""
        answer = await self._ask("GET", f"/_sandbox/cards/{card_number}")
        return str(answer.json()["behaviour"])

    async def set_behaviour(self, card_number: str, behaviour: str) -> None:
        """From now on; what waits in silence follows it, too. ``Away``."""
        await self._ask("PUT", f"/_sandbox/cards/{card_number}", json={"behaviour": behaviour})

    async def _ask(self, method: str, path: str, **options: object) -> httpx.Response:
        try:
            return (await self.http.request(method, path, **options)).raise_for_status()  # type: ignore[arg-type]
        except httpx.HTTPError as unreachable:
            raise Away from unreachable
