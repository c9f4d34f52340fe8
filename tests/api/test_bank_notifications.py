"""The bank's notifications: signed, and never more than a prompt."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import text
from standardwebhooks import Webhook

from api.parts import Parts
from domain.withdrawal import BankAnswer, TransferState
from ledger.notifications import KEPT
from tests.api.clock import ManualClock
from tests.api.conftest import WEBHOOK_SECRETS
from tests.api.console import Console, refused
from tests.api.played_engine import PlayedEngine


def notification(client_ref: object, kind: str = "transfer.updated") -> bytes:
    """As the bank writes it."""
    body = {"type": kind, "timestamp": "2026-11-23T02:00:00Z", "data": {"client_ref": client_ref, "bank_ref": "B1"}}
    return json.dumps(body).encode()


async def notify(
    console: Console,
    body: bytes,
    *,
    secret: str = WEBHOOK_SECRETS[0],
    age: timedelta = timedelta(),
    event_id: str | None = None,
    **spoiled: Any,
) -> httpx.Response:
    """A signed notification of an event of its own; ``spoiled`` headers replace good ones, None leaves one out."""
    sent_at = datetime.now(UTC) - age
    event_id = event_id or f"msg_{uuid4().hex}"
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(secret).sign(event_id, sent_at, body.decode(errors="replace")),
    } | {name.replace("_", "-"): value for name, value in spoiled.items()}
    kept = {name: value for name, value in headers.items() if value is not None}
    return await console.http.post("/v1/bank-notifications", content=body, headers=kept)


async def test_a_notification_prompts_and_changes_nothing(console: Console, engine: PlayedEngine) -> None:
    """204; the run of that withdrawal is told to ask the bank, and no row moves. Other news of it does the same."""
    withdrawal = await console.verified()
    engine.heard.clear()
    async with console.nothing_changes():
        for _ in range(2):
            answer = await notify(console, notification(withdrawal["id"]))
            assert (answer.status_code, answer.content) == (204, b"")
    assert engine.heard == [("bank_changed while processing", UUID(withdrawal["id"]))] * 2


async def test_an_event_prompts_once(console: Console, engine: PlayedEngine) -> None:
    """A recording played again, and the bank's own repeat under a new time and secret, answer 204 and prompt nobody."""
    withdrawal = await console.verified()
    engine.heard.clear()
    for secret in (*WEBHOOK_SECRETS, WEBHOOK_SECRETS[0]):
        assert (await notify(console, notification(withdrawal["id"]), secret=secret, event_id="e")).status_code == 204
    assert engine.heard == [("bank_changed while processing", UUID(withdrawal["id"]))]


async def test_an_event_whose_prompt_failed_is_not_taken_for_seen(console: Console, engine: PlayedEngine) -> None:
    """The bank's next try prompts: an id is written down after its prompt, never before."""
    withdrawal = await console.verified()
    engine.away = True
    answer = await notify(console, notification(withdrawal["id"]), event_id="e")
    refused(answer, 503, "temporarily_unavailable")
    engine.away = False
    engine.heard.clear()
    assert (await notify(console, notification(withdrawal["id"]), event_id="e")).status_code == 204
    assert engine.heard == [("bank_changed while processing", UUID(withdrawal["id"]))]


async def test_seen_events_are_forgotten_after_a_week(console: Console, parts: Parts, clock: ManualClock) -> None:
    """A few with each new one, so that the table stays as long as a week's news."""
    seen, withdrawal_id = parts.notifications, UUID((await console.verified())["id"])
    for number in range(25):
        seen.mark_seen(f"old-{number}", now=clock())
    for number in range(3):
        assert (seen.status_if_new("old-0", withdrawal_id) is None) == (number == 0)
        seen.mark_seen(f"new-{number}", now=clock() + KEPT + timedelta(seconds=1))
    with parts.database.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM seen_notifications")).scalar_one() == 3


async def test_a_notification_of_a_paid_withdrawal_asks_about_a_return(console: Console, engine: PlayedEngine) -> None:
    """The engine hears the recorded status, and decides by it."""
    withdrawal = await console.verified()
    engine.bank_says(UUID(withdrawal["id"]), BankAnswer(TransferState.SUCCEEDED, "B1"))
    await notify(console, notification(withdrawal["id"]))
    assert engine.heard[-1] == ("bank_changed while paid", UUID(withdrawal["id"]))


async def test_either_active_secret_will_do(console: Console) -> None:
    """So that a secret can be rotated without losing a notification."""
    for secret in WEBHOOK_SECRETS:
        assert (await notify(console, notification(str(uuid4())), secret=secret)).status_code == 204


async def test_an_unsigned_or_badly_signed_notification_is_unauthenticated(
    console: Console, engine: PlayedEngine
) -> None:
    """Missing, malformed, foreign, stale or over other bytes: 401, and nobody is told."""
    withdrawal = await console.verified()
    engine.heard.clear()
    good = notification(withdrawal["id"])
    foreign = "whsec_" + WEBHOOK_SECRETS[0].removeprefix("whsec_")[::-1].lstrip("=")
    answers = [
        await console.http.post("/v1/bank-notifications", content=good),
        await notify(console, good, webhook_signature=None),
        await notify(console, good, webhook_id=None),
        await notify(console, good, webhook_id="msg_2"),
        await notify(console, good, webhook_timestamp="soon"),
        await notify(console, good, webhook_signature="v1"),
        await notify(console, good, webhook_signature="v1,%%%"),
        await notify(console, good, webhook_signature="v1a,AAAA"),
        await notify(console, good, secret=foreign),
        await notify(console, good, age=timedelta(minutes=6)),
        await notify(console, good, age=timedelta(minutes=-6)),
        await notify(console, b"\xff\xfe"),
    ]
    signature = Webhook(WEBHOOK_SECRETS[0]).sign("msg_1", datetime.now(UTC), good.decode())
    answers.append(await notify(console, good + b" ", event_id="msg_1", webhook_signature=signature))
    for answer in answers:
        refused(answer, 401, "unauthenticated")
    assert engine.heard == []


async def test_what_the_bank_cannot_mean_does_nothing(console: Console, engine: PlayedEngine) -> None:
    """An unknown reference, an unknown event, an unknown shape: 204, so that it is not sent again."""
    withdrawal = await console.verified()
    engine.heard.clear()
    async with console.nothing_changes():
        for body in (
            notification(str(uuid4())),
            notification("their-own-reference"),
            notification(None),
            notification(withdrawal["id"], kind="account.updated"),
            b"{}",
            b"[]",
        ):
            assert (await notify(console, body)).status_code == 204, body
    assert engine.heard == []


async def test_signed_nonsense_is_invalid(console: Console) -> None:
    """What is no JSON was damaged on the way."""
    refused(await notify(console, b'{"type":'), 422, "invalid_request")


async def test_while_the_engine_is_away_the_bank_is_to_try_again(console: Console, engine: PlayedEngine) -> None:
    """503, since a 204 would lose the prompt."""
    withdrawal = await console.verified()
    engine.away = True
    refused(await notify(console, notification(withdrawal["id"])), 503, "temporarily_unavailable")
