"""The second check a stranger would try: a worker is killed, and another one goes on."""

from __future__ import annotations

import os
import signal
from functools import partial

from tests.whole.waiting import at_once, until
from tests.whole.world import World


def test_a_worker_killed_in_the_middle_of_a_transfer_pays_nothing_twice(world: World) -> None:
    """The bank has booked, and the worker dies before it hears so: another one asks for the same reference."""
    world.turn(hold_answer_s=20.0)
    customers = [world.customer(behaviour="time_out_after_booking") for _ in range(3)]
    withdrawals = at_once(*(customer.verified for customer in customers))
    for withdrawal_id in withdrawals:
        until(partial(world.transfer, withdrawal_id), "the bank has booked it")
    world.stack.worker.kill()
    references = {one: (world.transfer(one) or {})["bank_ref"] for one in withdrawals}
    for customer, withdrawal_id in zip(customers, withdrawals, strict=True):
        assert "bank_accepted" not in customer.events(withdrawal_id)
        assert customer.money() == ("1000.00", "500.00")
    with world.stack.another_worker():
        for customer, withdrawal_id in zip(customers, withdrawals, strict=True):
            customer.becomes(withdrawal_id, "paid")
    for withdrawal_id in withdrawals:
        assert world.submissions(withdrawal_id) == 1
        assert world.entries(withdrawal_id) == ["payment"]
        assert (world.transfer(withdrawal_id) or {})["bank_ref"] == references[withdrawal_id]


def test_a_worker_that_was_taken_for_dead_wakes_up_and_harms_nothing(world: World) -> None:
    """Stopped while it submits, it goes on where it was when another attempt is under way: paid once."""
    world.turn(latency_s=1.0)
    customer = world.customer()
    withdrawal_id = customer.verified()
    until(lambda: "bank_asked" in customer.events(withdrawal_id), "it is being submitted")
    os.kill(world.stack.worker.pid, signal.SIGSTOP)
    with world.stack.another_worker():
        until(lambda: world.attempts_under_way(withdrawal_id) > 1, "it is taken for dead")
        world.turn(latency_s=0.0)
        os.kill(world.stack.worker.pid, signal.SIGCONT)
        customer.becomes(withdrawal_id, "paid")
    assert customer.money() == ("500.00", "0.00")
    assert world.entries(withdrawal_id) == ["payment"]
    assert world.submissions(withdrawal_id) <= 2


def test_a_right_code_counts_although_no_worker_is_there(world: World) -> None:
    """503 while the worker is dead; with a new one it goes on by itself, and the same call again succeeds."""
    customers = [world.customer(), world.customer()]
    withdrawals = at_once(*(customer.applied for customer in customers))
    codes = [customer.code() for customer in customers]
    world.stack.worker.kill()
    calls = [
        partial(customer.enter, one, code) for customer, one, code in zip(customers, withdrawals, codes, strict=True)
    ]
    for answer in at_once(*calls):
        assert (answer.status_code, answer.json()["code"]) == (503, "temporarily_unavailable")
        assert "Retry-After" in answer.headers
    assert [customer.money() for customer in customers] == [("1000.00", "0.00")] * 2
    with world.stack.another_worker():
        until(lambda: calls[0]().status_code == 200, "the same call succeeds")
        customers[0].becomes(withdrawals[0], "paid")
        customers[1].becomes(withdrawals[1], "paid")
    for customer, withdrawal_id in zip(customers, withdrawals, strict=True):
        assert customer.events(withdrawal_id).count("frozen") == 1
