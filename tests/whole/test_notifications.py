"""What a notification of the bank can do, whoever sends it: prompt a question, and nothing else."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook

from tests.whole.waiting import until
from tests.whole.world import World


def test_a_forged_notification_moves_nothing(world: World) -> None:
    """With a bad signature it is refused with 401, and nobody even asks the bank."""
    customer = world.customer(behaviour="silent")
    withdrawal_id = customer.verified()
    until(lambda: "bank_accepted" in customer.events(withdrawal_id), "the bank has taken it")
    until(lambda: (world.transfer(withdrawal_id) or {})["state"] == "processing", "it is under way there")
    before = customer.events(withdrawal_id)
    secret_of_nobody = "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"
    refused = _notify(world, secret_of_nobody, withdrawal_id, state="succeeded")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    # Had it been believed, this one would find the bank asked already.
    assert customer.events(withdrawal_id) == before
    assert customer.money() == ("1000.00", "500.00")


def test_a_signed_notification_is_not_believed_but_prompts_a_question(world: World) -> None:
    """It says *failed*, then *succeeded*; the bank, asked, says *processing*, and that is what counts."""
    customer = world.customer(behaviour="silent")
    withdrawal_id = customer.verified()
    until(lambda: (world.transfer(withdrawal_id) or {}).get("state") == "processing", "the bank has it")
    for claimed in ("failed", "succeeded"):
        taken = _notify(world, world.stack.state.webhook_secret(), withdrawal_id, state=claimed)
        assert taken.status_code == 204
        until(lambda: "bank_processing" in customer.events(withdrawal_id), "the bank was asked")
        assert customer.status(withdrawal_id) == "processing"
        assert customer.money() == ("1000.00", "500.00")
    world.set_card(customer, "accept_then_fail")
    customer.becomes(withdrawal_id, "failed")
    # It is over: news of a payment that the bank does not confirm change nothing any more.
    assert _notify(world, world.stack.state.webhook_secret(), withdrawal_id, state="succeeded").status_code == 204
    assert customer.status(withdrawal_id) == "failed"
    assert customer.money() == ("1000.00", "0.00")


def _notify(world: World, secret: str, withdrawal_id: str, *, state: str) -> httpx.Response:
    now = datetime.now(UTC)
    data = {"client_ref": withdrawal_id, "bank_ref": "forged", "state": state}
    body = json.dumps({"type": "transfer.updated", "timestamp": now.isoformat(), "data": data})
    webhook_id = f"msg_{uuid.uuid4().hex}"
    headers = {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, now, body),
    }
    return world.api.post("/v1/bank-notifications", content=body, headers=headers)
