"""The first check a stranger would try: everything is done many times at once."""

from __future__ import annotations

from collections import Counter
from functools import partial

from tests.whole.waiting import at_once
from tests.whole.world import World


def test_a_double_click_makes_one_withdrawal(world: World) -> None:
    """50 parallel applications with one key: one id, one run, one SMS; the rest wait or hear the first answer."""
    customer = world.customer()
    answers = at_once(*[partial(customer.apply, key="one-key")] * 50)
    taken = [answer for answer in answers if answer.status_code == 201]
    others = [answer for answer in answers if answer.status_code != 201]
    assert {answer.json()["code"] for answer in others} <= {"idempotency_key_in_use"}
    assert all("Retry-After" in answer.headers for answer in others)
    (withdrawal_id,) = {answer.json()["id"] for answer in taken}
    assert sum("Idempotency-Replayed" not in answer.headers for answer in taken) == 1
    replayed = customer.apply(key="one-key")
    assert (replayed.status_code, replayed.json()["id"]) == (201, withdrawal_id)
    assert [withdrawal["id"] for withdrawal in customer.record()] == [withdrawal_id]
    assert world.runs_of(withdrawal_id) == 1
    assert len(customer.messages()) == 1


def test_many_keys_at_once_make_one_withdrawal(world: World) -> None:
    """50 parallel applications, each with its own key: one is taken, 49 hear which one is in progress."""
    customer = world.customer(cash="100000.00")
    answers = at_once(*[customer.apply] * 50)
    (taken,) = (answer for answer in answers if answer.status_code == 201)
    others = [answer.json() for answer in answers if answer is not taken]
    assert {other["code"] for other in others} == {"withdrawal_in_progress"}
    assert {other["withdrawal_id"] for other in others} == {taken.json()["id"]}


def test_the_right_code_many_times_at_once_freezes_once(world: World) -> None:
    """50 parallel right codes: one freeze, one question to the bank; who is not served can ask again."""
    customer = world.customer(behaviour="silent")
    withdrawal_id = customer.applied()
    code = customer.code()
    answers = at_once(*[lambda: customer.enter(withdrawal_id, code)] * 50)
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {200, 503}, statuses
    assert all("Retry-After" in answer.headers for answer in answers if answer.status_code == 503)
    assert customer.enter(withdrawal_id, code).status_code == 200
    events = customer.events(withdrawal_id)
    assert (events.count("verified"), events.count("frozen"), events.count("bank_asked")) == (1, 1, 1)
    assert customer.money() == ("1000.00", "500.00")
    world.set_card(customer, "pay")
    customer.becomes(withdrawal_id, "paid")


def test_cancelling_many_times_at_once_cancels_once(world: World) -> None:
    """20 parallel cancels: one ends it, the others are told that it is over, or to ask again."""
    customer = world.customer(cash="60000.00")
    withdrawal_id = customer.verified("50000.00")
    assert customer.money() == ("60000.00", "50000.00")
    answers = at_once(*[lambda: customer.cancel(withdrawal_id)] * 20)
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] == 1, statuses
    assert set(statuses) <= {200, 409, 503}, statuses
    assert customer.cancel(withdrawal_id).json()["code"] == "not_possible_now"
    assert customer.events(withdrawal_id).count("cancelled") == 1
    assert customer.money() == ("60000.00", "0.00")


def test_of_a_cancel_and_the_right_code_at_once_one_wins(world: World) -> None:
    """Whichever was first, the money is where the status says, and whoever was late is told the status."""
    customers = [world.customer() for _ in range(10)]
    withdrawals = at_once(*(customer.applied for customer in customers))
    pairs = list(zip(customers, withdrawals, strict=True))
    codes = [customer.code() for customer in customers]
    entering = [partial(customer.enter, one, code) for (customer, one), code in zip(pairs, codes, strict=True)]
    cancelling = [partial(customer.cancel, one) for customer, one in pairs]
    answers = at_once(*entering, *cancelling)
    assert {answer.status_code for answer in answers} <= {200, 409, 503}
    for (customer, withdrawal_id), cancelled in zip(pairs, answers[10:], strict=True):
        if cancelled.status_code == 200:
            assert customer.status(withdrawal_id) == "cancelled"
            assert customer.money() == ("1000.00", "0.00")
            assert world.submissions(withdrawal_id) == 0


def test_of_an_approval_a_rejection_and_a_cancel_at_once_one_wins(world: World) -> None:
    """One of the three ends the wait; the two others hear that it is over."""
    customers = [world.customer(cash="50000.00") for _ in range(8)]
    withdrawals = at_once(*(partial(customer.verified, "50000.00") for customer in customers))
    pairs = list(zip(customers, withdrawals, strict=True))
    approving = [partial(world.decide, one, "approve", by="fin-1") for one in withdrawals]
    rejecting = [partial(world.decide, one, "reject", by="fin-2") for one in withdrawals]
    cancelling = [partial(customer.cancel, one) for customer, one in pairs]
    at_once(*approving, *rejecting, *cancelling)
    for customer, withdrawal_id in pairs:
        ends = [kind for kind in customer.events(withdrawal_id) if kind in ("approved", "rejected", "cancelled")]
        assert len(ends) == 1, ends
        if ends == ["approved"]:
            customer.becomes(withdrawal_id, "paid")
        assert customer.money() == (("0.00" if ends == ["approved"] else "50000.00"), "0.00")


def test_applications_of_many_customers_at_once_do_not_hold_each_other_up(world: World) -> None:
    """20 customers at once: each is paid, once."""
    customers = [world.customer() for _ in range(20)]
    withdrawals = at_once(*(customer.verified for customer in customers))
    for customer, withdrawal_id in zip(customers, withdrawals, strict=True):
        customer.becomes(withdrawal_id, "paid")
    assert {customer.money() for customer in customers} == {("500.00", "0.00")}
