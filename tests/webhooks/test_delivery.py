"""What the console's backend hears, and what becomes of what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from domain.withdrawal import Door, Status
from ledger.outbox import FIRST_WAIT, GIVE_UP_AFTER, KEEP_DELIVERED, LEASE, LONGEST_WAIT, Message, Outbox, wait_after
from ledger.rows import Happening, lock_withdrawal, move_on
from tests.ledger.stories import LARGE, SUCCEEDED, Ledger, Stories
from tests.webhooks.listening import NEXT_SECRET, SECRET, Json, Listener
from webhooks.delivery import Delivery, tell_of_changes
from webhooks.payload import body_of
from webhooks.receiver import HttpReceiver

ALL = ["applied", "code_sent", "verified", "frozen", "paid"]
"""What becomes of a withdrawal that is paid."""
LONG_AGO = timedelta(days=40)


def real_now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(autouse=True)
def in_the_present(stories: Stories) -> None:
    """The receiver believes no signature that is older than five minutes."""
    stories.now = real_now() - timedelta(minutes=1)


async def deliver_all(delivery: Delivery, *, now: datetime | None = None) -> None:
    """Until nothing is due at ``now``, one message after the other."""
    while messages := delivery.outbox.claim(1, now=now or real_now()):
        await delivery.deliver(messages[0])


async def test_every_change_of_status_is_told_once_and_in_order(
    stories: Stories, delivery: Delivery, listener: Listener
) -> None:
    """From the application to paid, with a version that grows."""
    withdrawal_id = stories.bring_to(Status.PAID)
    await deliver_all(delivery)
    assert listener.kinds(withdrawal_id) == ALL
    assert len({one.id for one in listener.heard}) == len(listener.heard) == len(ALL)
    assert delivery.outbox.claim(10, now=real_now() + LONG_AGO) == []


async def test_a_change_that_was_rolled_back_is_not_told(stories: Stories, ledger: Ledger, outbox: Outbox) -> None:
    """The row of the outbox stands or falls with the change itself."""
    withdrawal_id = stories.apply(stories.open_account())
    waiting = ledger.count("outbox")
    with suppress(RuntimeError), ledger.database.transaction() as connection:
        row = lock_withdrawal(connection, withdrawal_id)
        move_on(connection, row, Status.EXPIRED, Happening("expired", "system", Door.WORKFLOW, stories.now))
        raise RuntimeError
    assert ledger.count("outbox") == waiting


async def test_the_snapshot_is_of_the_moment_it_is_sent(
    stories: Stories, delivery: Delivery, listener: Listener
) -> None:
    """An old event carries the withdrawal as it is now, so that nobody acts on what is over."""
    withdrawal_id = stories.apply(stories.open_account(), LARGE)
    stories.verify(withdrawal_id)
    stories.freeze(withdrawal_id)
    stories.decide(withdrawal_id)
    stories.answer(withdrawal_id, SUCCEEDED)
    await deliver_all(delivery)
    first = listener.heard[0].body["data"]
    assert (first["event"]["status"], first["withdrawal"]["status"]) == ("awaiting_verification", "paid")
    assert {one.body["data"]["version"] for one in listener.heard} == {first["version"]}


async def test_a_message_names_nobody(stories: Stories, delivery: Delivery, listener: Listener) -> None:
    """Neither the customer nor the approver, neither phone nor card."""
    withdrawal_id = stories.apply(stories.open_account(), LARGE)
    stories.verify(withdrawal_id)
    stories.freeze(withdrawal_id)
    stories.decide(withdrawal_id, "li.wei")
    await deliver_all(delivery)
    for one in listener.heard:
        for secret in ("张三", "6230580000005000018", "13812341234", "138****", "li.wei", "上海分行营业部"):
            assert secret not in str(one.body)
    assert listener.heard[-1].body["data"]["withdrawal"]["bank_card"]["card_number"] == "**** 0018"


async def test_what_nobody_signed_is_not_believed_and_both_secrets_are_while_one_follows_the_other(
    stories: Stories, delivery: Delivery, listener: Listener, outbox: Outbox
) -> None:
    """The receiver changes to the next secret whenever it likes, while both sign."""
    stories.apply(stories.open_account())
    listener.secrets = (NEXT_SECRET,)
    await deliver_all(delivery)
    assert listener.heard == []
    async with httpx.AsyncClient(trust_env=False) as client:
        both = Delivery(outbox, HttpReceiver(client, listener.url, [SECRET, NEXT_SECRET]))
        await deliver_all(both, now=real_now() + LONGEST_WAIT)
        assert len(listener.heard) == 1
        listener.secrets = (SECRET,)
        stories.apply(stories.open_account())
        await deliver_all(both)
    assert len(listener.heard) == 2


async def test_a_crash_between_sending_and_noting_it_sends_the_same_message_again(
    stories: Stories, delivery: Delivery, listener: Listener
) -> None:
    """At least once: nobody claims it before the lease is over, then it comes under the same id."""
    withdrawal_id = stories.apply(stories.open_account())
    [message] = delivery.outbox.claim(1, now=real_now())
    await delivery.receiver.take(f"msg_{message.id}", body_of(message), sent_at=real_now())
    # The process died here. Another one is there at once, and finds nothing until the lease is over.
    await deliver_all(delivery)
    assert len(listener.heard) == 1
    await deliver_all(delivery, now=real_now() + LEASE)
    assert [one.id for one in listener.taken(withdrawal_id)] == [f"msg_{message.id}"] * 2


async def test_a_claim_that_ran_out_settles_nothing(stories: Stories, outbox: Outbox) -> None:
    """Whoever was taken for dead and wakes up does not mark what another one is sending."""
    stories.apply(stories.open_account())
    [slow] = outbox.claim(1, now=real_now())
    [other] = outbox.claim(1, now=real_now() + LEASE)
    assert (slow.id, slow.attempts, other.attempts) == (other.id, 1, 2)
    assert outbox.not_delivered(slow, "time-out", now=slow.since + GIVE_UP_AFTER) is False
    outbox.delivered(other, now=real_now())
    outbox.delivered(slow, now=real_now())
    assert outbox.dead_letters(limit=1) == []
    assert outbox.claim(1, now=real_now() + LONG_AGO) == []


async def test_two_deliverers_never_have_the_same_message_nor_two_of_one_withdrawal(
    stories: Stories, outbox: Outbox
) -> None:
    """Claims at once take different withdrawals."""
    for _ in range(12):
        stories.bring_to(Status.PAID)
    claims = await asyncio.gather(*(asyncio.to_thread(outbox.claim, 4, now=real_now()) for _ in range(6)))
    claimed: list[Message] = [message for claim in claims for message in claim]
    assert len({message.withdrawal.id for message in claimed}) == len(claimed) == 12
    assert {message.status for message in claimed} == {Status.AWAITING_VERIFICATION}


async def test_the_next_message_waits_for_the_earlier_one_but_no_other_withdrawal_does(
    stories: Stories, delivery: Delivery, listener: Listener
) -> None:
    """A message the receiver chokes on holds up its own withdrawal alone."""
    bad, good = stories.bring_to(Status.PAID), stories.bring_to(Status.PAID)
    listener.answer = lambda body: 500 if body["data"]["withdrawal"]["id"] == str(bad) else 204
    await deliver_all(delivery)
    assert listener.kinds(good) == ALL
    assert [one.answer for one in listener.heard if one.body["data"]["withdrawal"]["id"] == str(bad)] == [500]
    listener.answer = lambda _: 204
    await deliver_all(delivery, now=real_now() + LONGEST_WAIT)
    assert listener.kinds(bad) == ALL


async def test_waits_double_up_to_ten_minutes() -> None:
    """And are spread over half of their length."""
    for attempts in (1, 2, 3, 9, 10, 11, 25, 400):
        longest = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
        assert longest / 2 <= wait_after(attempts) <= longest


async def test_what_is_refused_for_three_days_is_a_dead_letter_and_the_next_one_goes_on(
    stories: Stories, delivery: Delivery, listener: Listener
) -> None:
    """It is listed with the reason, holds nothing up any more, and a replay sends it under its old id."""
    listener.answer = _refusing("applied")
    withdrawal_id = stories.bring_to(Status.PAID)
    [message] = delivery.outbox.claim(1, now=real_now())
    assert delivery.outbox.not_delivered(message, "HTTP 410", now=message.since + GIVE_UP_AFTER) is True
    await deliver_all(delivery, now=message.since + GIVE_UP_AFTER)
    assert listener.kinds(withdrawal_id) == ALL[1:]
    [letter] = delivery.outbox.dead_letters(limit=10)
    assert (letter.withdrawal_id, letter.trouble, letter.attempts) == (withdrawal_id, "HTTP 410", 1)
    listener.answer = lambda _: 204
    assert delivery.outbox.replay([letter.id], now=real_now()) == 1
    await deliver_all(delivery)
    assert listener.taken(withdrawal_id)[-1].id == f"msg_{message.id}"
    assert delivery.outbox.dead_letters(limit=10) == []


async def test_a_receiver_that_was_away_hears_everything_when_it_is_back(
    stories: Stories, ledger: Ledger, listener: Listener, outbox: Outbox
) -> None:
    """Through the task that a worker runs: refused, waited, told."""
    withdrawals = [stories.bring_to(Status.PAID) for _ in range(5)]
    listener.answer = lambda _: 503
    telling = asyncio.create_task(tell_of_changes(outbox, listener.url, [SECRET]))
    try:
        await _until(lambda: len(listener.heard) >= 5)
        listener.answer = lambda _: 204
        await _until(lambda: all(len(listener.taken(one)) == len(ALL) for one in withdrawals))
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
    for withdrawal_id in withdrawals:
        assert listener.kinds(withdrawal_id) == ALL


async def test_a_message_that_nobody_foresaw_takes_no_other_along(
    stories: Stories, listener: Listener, outbox: Outbox
) -> None:
    """It waits like one that was refused, with the error's name as the reason."""
    bad, good = stories.bring_to(Status.PAID), stories.bring_to(Status.PAID)

    class Odd(HttpReceiver):
        async def take(self, message_id: str, body: str, *, sent_at: datetime) -> None:
            if str(bad) in body:
                raise ZeroDivisionError
            await super().take(message_id, body, sent_at=sent_at)

    async with httpx.AsyncClient(trust_env=False) as client:
        delivering = asyncio.create_task(Delivery(outbox, Odd(client, listener.url, [SECRET])).run())
        try:
            await _until(lambda: len(listener.taken(good)) == len(ALL))
        finally:
            delivering.cancel()
            with suppress(asyncio.CancelledError):
                await delivering
    [waiting] = outbox.claim(10, now=real_now() + LONGEST_WAIT)
    assert (waiting.withdrawal.id, waiting.kind) == (bad, "applied")


async def test_an_outbox_that_nobody_listens_to_does_not_grow_for_ever(
    stories: Stories, ledger: Ledger, outbox: Outbox
) -> None:
    """A week is kept for a receiver that comes late; where one is set, what waits stays."""
    stories.bring_to(Status.PAID)
    later = stories.now + KEEP_DELIVERED + timedelta(hours=1)
    assert outbox.tidy(now=stories.now, anybody_listens=False) == 0
    assert outbox.tidy(now=later, anybody_listens=True) == 0
    assert outbox.tidy(now=later, anybody_listens=False) == len(ALL)
    assert ledger.count("outbox") == 0


def _refusing(kind: str) -> Callable[[Json], int]:
    def answer(body: Json) -> int:
        return 410 if body["data"]["event"]["kind"] == kind else 204

    return answer


async def _until(condition: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come to that"
        await asyncio.sleep(0.05)
