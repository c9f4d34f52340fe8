"""The console's backend hears of every change from the worker, and a worker that is killed loses none."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.webhooks.listening import SECRET, Json, Listener, listening
from tests.whole.waiting import until
from tests.whole.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.processes import Process

ALL = ["applied", "code_sent", "verified", "frozen", "paid"]


@contextmanager
def telling_worker(world: World, listener: Listener) -> Iterator[Process]:
    """One more worker, which has somebody to tell."""
    told = {"WITHDRAWALS_EVENTS_URL": listener.url, "WITHDRAWALS_EVENTS_SECRETS": SECRET}
    with replace(world.stack, environment=world.stack.environment | told).another_worker() as worker:
        yield worker


def test_the_console_hears_of_a_withdrawal_from_application_to_paid(world: World) -> None:
    """In order, signed, and as the API shows it."""
    with listening() as listener, telling_worker(world, listener):
        customer = world.customer()
        withdrawal_id = customer.verified()
        customer.becomes(withdrawal_id, "paid")
        until(lambda: len(listener.taken(withdrawal_id)) == len(ALL), "everything is told")
    assert listener.kinds(withdrawal_id) == ALL
    assert listener.taken(withdrawal_id)[-1].body["data"]["withdrawal"]["status"] == customer.status(withdrawal_id)


def test_a_worker_killed_while_the_console_answers_sends_the_same_message_again(world: World) -> None:
    """At least once: the message has the same id, and those behind it still come in order."""
    asked, answer = threading.Event(), threading.Event()

    def hold(_: Json) -> int:
        asked.set()
        answer.wait(30)
        return 204

    with listening() as listener:
        listener.answer = hold
        customer = world.customer()
        with telling_worker(world, listener) as worker:
            withdrawal_id = customer.verified()
            until(lambda: listener.of(withdrawal_id), "the first message is on its way")
            worker.kill()
        answer.set()
        customer.becomes(withdrawal_id, "paid")
        listener.answer = lambda _: 204
        with telling_worker(world, listener):
            until(lambda: listener.kinds(withdrawal_id)[-1:] == ["paid"], "everything is told", seconds=60)
    first, again, *_ = listener.of(withdrawal_id)
    assert first.id == again.id
    assert [one.body["data"]["event"]["kind"] for one in listener.of(withdrawal_id)[1:]] == ALL
