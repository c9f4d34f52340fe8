"""Temporal or PostgreSQL is away: what can be answered is answered, the rest may be asked again, nothing is lost."""

from __future__ import annotations

import os
import signal
from functools import partial

import httpx

from tests.whole.waiting import at_once, until
from tests.whole.world import World


def test_temporal_away(world: World) -> None:
    """Stopped, then killed: reads 200, applications 202, the rest 503; all of it goes on when the server is back."""
    waiting, cancelling, repeating, entering = (world.customer() for _ in range(4))
    approved = world.customer("50000.00")
    code_waits, to_cancel = at_once(waiting.applied, cancelling.applied)
    to_approve = approved.verified("50000.00")
    code = waiting.code()

    os.kill(world.stack.temporal.process.pid, signal.SIGSTOP)
    assert waiting.status(code_waits) == "awaiting_verification"
    assert waiting.money() == ("1000.00", "0.00")
    assert waiting.record()[0]["id"] == code_waits
    assert world.api.get("/healthz").status_code == 200
    *taken, not_verified, not_cancelled, not_decided, not_ready = at_once(
        partial(repeating.apply, key="again"),
        entering.apply,
        partial(waiting.enter, code_waits, code),
        partial(cancelling.cancel, to_cancel),
        partial(world.decide, to_approve, "approve", by="fin-1"),
        partial(world.api.get, "/readyz"),
    )
    for answer in taken:
        assert (answer.status_code, answer.json()["status"]) == (202, "awaiting_verification")
    for answer in (not_verified, not_cancelled, not_decided):
        _require_ask_again(answer)
    assert (not_ready.status_code, not_ready.json()["checks"]["engine"]) == (503, "away")

    world.stack.temporal.process.kill()
    world.stack.temporal.start_again()
    # Whoever does what they were told to, and asks again, is served.
    replayed = repeating.apply(key="again")
    assert (replayed.status_code, replayed.headers["Idempotency-Replayed"]) == (202, "true")
    until(lambda: waiting.enter(code_waits, code).status_code == 200, "the code again")
    until(lambda: cancelling.cancel(to_cancel).json().get("code") == "not_possible_now", "the cancel again")
    until(lambda: world.decide(to_approve, "approve", by="fin-1").status_code in (403, 409), "the decision again")
    assert cancelling.status(to_cancel) == "cancelled"
    waiting.becomes(code_waits, "paid")
    approved.becomes(to_approve, "paid")
    until(repeating.messages, "the code that the repeated call brings")
    for customer in (repeating, entering):
        (withdrawal,) = customer.record()
        if not customer.messages():
            until(partial(_resent, world, withdrawal["id"], customer.bearer), "a code that was asked for")
        assert customer.enter(withdrawal["id"], customer.code()).status_code == 200
        customer.becomes(withdrawal["id"], "paid")


def test_postgres_away(world: World) -> None:
    """Killed: everything is 503 and may be asked again; when it is back, all goes on by itself, nothing twice."""
    silent, reading, applying, entering = (world.customer(behaviour="silent") for _ in range(4))
    withdrawal_id, to_enter = silent.verified(), entering.applied()
    until(lambda: world.transfer(withdrawal_id), "the bank has it")
    code = entering.code()

    world.stack.postgres.process.kill()
    for answer in at_once(
        partial(world.api.get, f"/v1/accounts/{reading.account_id}", headers=reading.bearer),
        partial(world.api.get, f"/v1/withdrawals/{withdrawal_id}", headers=silent.bearer),
        partial(applying.apply, key="again"),
        partial(entering.enter, to_enter, code),
        partial(silent.cancel, withdrawal_id),
    ):
        _require_ask_again(answer)
    assert world.api.get("/readyz").json()["checks"]["database"] == "away"
    assert world.api.get("/healthz").status_code == 200
    for customer in (silent, entering, applying):
        world.set_card(customer, "pay")  # The bank pays meanwhile, and its notification finds us away.
    until(lambda: world.entries(withdrawal_id) == ["payment"], "the bank pays")

    world.stack.postgres.start_again()
    until(lambda: world.api.get("/readyz").status_code == 200, "ready again by itself")
    silent.becomes(withdrawal_id, "paid")
    assert applying.apply(key="again").status_code == 201
    assert entering.enter(to_enter, code).status_code == 200
    entering.becomes(to_enter, "paid")
    assert len(applying.record()) == 1


def _require_ask_again(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "temporarily_unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) > 0


def _resent(world: World, withdrawal_id: str, bearer: dict[str, str]) -> bool:
    path = f"/v1/withdrawals/{withdrawal_id}/verification/resend"
    return world.api.post(path, headers=bearer).status_code in (202, 429)
