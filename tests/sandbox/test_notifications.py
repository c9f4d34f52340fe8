"""Notifications: signed, repeated until they arrive, and unreliable on demand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.sandbox.bank_client import PATIENCE_S, change_settings, set_behaviour, submit, wait_for_state
from tests.sandbox.conftest import WEBHOOK_SECRET, OpenSandbox, Receiver


@pytest.fixture
async def notifying_sandbox(open_sandbox: OpenSandbox, receiver: Receiver) -> AsyncIterator[httpx.AsyncClient]:
    """A sandbox that settles at once and notifies the receiver."""
    async with open_sandbox(notify_url=receiver.url) as client:
        await change_settings(client, settle_after_s=0, return_after_s=0)
        yield client


async def wait_for_notifications(receiver: Receiver, count: int) -> None:
    """Fails when they take too long."""
    deadline = time.monotonic() + PATIENCE_S
    while len(receiver.received) < count:
        assert time.monotonic() < deadline, f"{len(receiver.received)} of {count} notifications arrived"
        await asyncio.sleep(0.01)


async def test_an_outcome_is_notified_with_a_signature(
    notifying_sandbox: httpx.AsyncClient, receiver: Receiver
) -> None:
    """It names the transfer, and verifies with the Standard Webhooks library, but only unaltered."""
    taken = await submit(notifying_sandbox)
    await wait_for_notifications(receiver, 1)
    ((headers, body),) = receiver.received
    notification = Webhook(WEBHOOK_SECRET).verify(body, headers)
    assert notification["type"] == "transfer.updated"
    assert notification["timestamp"].endswith("Z")
    assert notification["data"] == {"client_ref": taken["client_ref"], "bank_ref": taken["bank_ref"]}
    with pytest.raises(WebhookVerificationError):
        Webhook(WEBHOOK_SECRET).verify(body.replace(b"transfer", b"transfez"), headers)


@pytest.mark.parametrize(
    ("behaviour", "outcome", "notifications"),
    [
        ("pay", "succeeded", 1),
        ("reject", "failed", 1),
        ("accept_then_fail", "failed", 1),
        ("pay_then_return", "returned", 2),
    ],
)
async def test_each_outcome_is_notified_once(
    notifying_sandbox: httpx.AsyncClient, receiver: Receiver, behaviour: str, outcome: str, notifications: int
) -> None:
    """A payment, a failure and a return are told; accepted and processing are not."""
    await set_behaviour(notifying_sandbox, behaviour)
    taken = await submit(notifying_sandbox)
    await wait_for_state(notifying_sandbox, taken["client_ref"], outcome)
    await wait_for_notifications(receiver, notifications)
    await asyncio.sleep(0.1)
    assert len(receiver.received) == notifications
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == notifications


async def test_what_is_due_at_once_waits_for_no_look(open_sandbox: OpenSandbox, receiver: Receiver) -> None:
    """A bank that settles at once does so when it has the transfer, and tells of it when it has settled."""
    async with open_sandbox(notify_url=receiver.url, tick_s=3600) as client:
        await change_settings(client, settle_after_s=0)
        for number in (1, 2):
            taken = await submit(client)
            await wait_for_state(client, taken["client_ref"], "succeeded")
            await wait_for_notifications(receiver, number)


@pytest.mark.parametrize("status", [302, 404, 503])
async def test_an_undelivered_notification_is_sent_again(
    notifying_sandbox: httpx.AsyncClient, receiver: Receiver, status: int
) -> None:
    """A receiver that answers anything but 2xx gets the same message, with the same webhook-id, again."""
    receiver.statuses = [status]
    await submit(notifying_sandbox)
    await wait_for_notifications(receiver, 2)
    (first, first_body), (second, second_body) = receiver.received
    assert first["webhook-id"] == second["webhook-id"]
    assert first_body == second_body
    Webhook(WEBHOOK_SECRET).verify(second_body, second)


async def test_a_notification_survives_a_restart(open_sandbox: OpenSandbox, receiver: Receiver) -> None:
    """What could not be delivered before the process ended is delivered by the next one on the same book."""
    nobody_listens = "http://127.0.0.1:1/"
    async with open_sandbox(notify_url=nobody_listens) as bank:
        await change_settings(bank, settle_after_s=0)
        taken = await submit(bank)
        await wait_for_state(bank, taken["client_ref"], "succeeded")
    async with open_sandbox(notify_url=receiver.url):
        await wait_for_notifications(receiver, 1)
    assert json.loads(receiver.received[0][1])["data"]["client_ref"] == taken["client_ref"]


@pytest.mark.parametrize("switch", [{"drop_notifications": True}, {"notify": False}])
async def test_notifications_can_be_lost(
    notifying_sandbox: httpx.AsyncClient, receiver: Receiver, switch: dict[str, bool]
) -> None:
    """Dropped or not sent at all, an outcome is never told, also not after the switch is turned back."""
    await change_settings(notifying_sandbox, **switch)
    lost = await submit(notifying_sandbox)
    await wait_for_state(notifying_sandbox, lost["client_ref"], "succeeded")
    await change_settings(notifying_sandbox, drop_notifications=False, notify=True)
    told = await submit(notifying_sandbox)
    await wait_for_notifications(receiver, 1)
    await asyncio.sleep(0.1)
    assert [json.loads(body)["data"]["client_ref"] for _, body in receiver.received] == [told["client_ref"]]


async def test_a_stopped_engine_is_reported(open_sandbox: OpenSandbox) -> None:
    """Healthy while its engines run; once one has died, /healthz answers 503 instead of waiting for ever."""
    async with open_sandbox(notify_url="http://127.0.0.1:no-port/") as bank:
        assert (await bank.get("/healthz")).status_code == 200
        await change_settings(bank, settle_after_s=0)
        await submit(bank)
        deadline = time.monotonic() + PATIENCE_S
        while (await bank.get("/healthz")).status_code != 503:
            assert time.monotonic() < deadline, "nobody noticed"
            await asyncio.sleep(0.01)


async def test_notifications_can_arrive_twice(notifying_sandbox: httpx.AsyncClient, receiver: Receiver) -> None:
    """A duplicate has the same webhook-id and body, so that its receiver can tell."""
    await change_settings(notifying_sandbox, duplicate_notifications=True)
    await submit(notifying_sandbox)
    await wait_for_notifications(receiver, 2)
    (first, first_body), (second, second_body) = receiver.received
    assert first["webhook-id"] == second["webhook-id"]
    assert first_body == second_body


async def test_notifications_can_arrive_out_of_order(notifying_sandbox: httpx.AsyncClient, receiver: Receiver) -> None:
    """Reordered, twelve outcomes are all told, but not in the order in which they happened."""
    await change_settings(notifying_sandbox, reorder_notifications=True)
    await set_behaviour(notifying_sandbox, "reject")
    refs = [(await submit(notifying_sandbox))["client_ref"] for _ in range(12)]
    await wait_for_notifications(receiver, 12)
    told = [json.loads(body)["data"]["client_ref"] for _, body in receiver.received]
    assert sorted(told) == sorted(refs)
    assert told != refs
