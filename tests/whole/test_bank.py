"""Every way the bank behaves, from application to the end, on the whole stack."""

from __future__ import annotations

from tests.whole.waiting import at_once, until
from tests.whole.world import World


def test_a_withdrawal_is_paid(world: World) -> None:
    """A bank that pays: the cash is gone once, the month is used up, one run and one SMS did it."""
    customer = world.customer()
    withdrawal_id = customer.verified()
    assert customer.money() == ("1000.00", "500.00")
    customer.becomes(withdrawal_id, "paid")
    assert customer.money() == ("500.00", "0.00")
    assert world.entries(withdrawal_id) == ["payment"]
    assert world.submissions(withdrawal_id) == 1
    assert world.runs_of(withdrawal_id) == 1
    assert len(customer.messages()) == 1
    again = customer.apply("100.00")
    assert [reason["code"] for reason in again.json()["errors"]] == ["already_withdrawn_this_month"]


def test_a_bank_that_refuses_at_once_gives_everything_back(world: World) -> None:
    """A refused card fails the withdrawal; amount and month are the customer's again."""
    customer = world.customer(behaviour="reject")
    failed = customer.becomes(customer.verified(), "failed")
    assert failed["failure"]["code"]
    assert customer.money() == ("1000.00", "0.00")
    assert world.entries(failed["id"]) == []
    assert customer.apply().status_code == 201


def test_a_bank_that_fails_later_gives_everything_back(world: World) -> None:
    """Taken is not paid: the money stays frozen until the bank's no, and is whole afterwards."""
    customer = world.customer(behaviour="accept_then_fail")
    world.turn(settle_after_s=1.0)
    withdrawal_id = customer.verified()
    assert customer.money() == ("1000.00", "500.00")
    customer.becomes(withdrawal_id, "failed")
    assert customer.money() == ("1000.00", "0.00")
    assert customer.apply().status_code == 201


def test_a_payment_that_comes_back_is_credited_once(world: World) -> None:
    """A return (退票) after the payment: the cash and the month are given back, exactly once."""
    customer = world.customer(behaviour="pay_then_return")
    world.turn(return_after_s=1.0)
    withdrawal_id = customer.verified()
    customer.becomes(withdrawal_id, "paid")
    assert customer.money() == ("500.00", "0.00")
    customer.becomes(withdrawal_id, "returned")
    assert customer.money() == ("1000.00", "0.00")
    assert world.entries(withdrawal_id) == ["payment", "return"]
    assert customer.events(withdrawal_id).count("returned") == 1
    assert customer.apply().status_code == 201


def test_a_silent_bank_is_waited_for(world: World) -> None:
    """No answer is no failure: the money stays frozen until the bank speaks, and it cannot be cancelled."""
    customer = world.customer(behaviour="silent")
    withdrawal_id = customer.verified()
    until(lambda: (world.transfer(withdrawal_id) or {}).get("state") == "processing", "the bank has it")
    assert customer.status(withdrawal_id) == "processing"
    assert customer.money() == ("1000.00", "500.00")
    cancelled = customer.cancel(withdrawal_id)
    assert (cancelled.status_code, cancelled.json()["code"]) == (409, "not_possible_now")
    world.set_card(customer, "pay")
    customer.becomes(withdrawal_id, "paid")
    assert world.submissions(withdrawal_id) == 1


def test_a_lost_answer_to_a_booked_transfer_pays_once(world: World) -> None:
    """The bank books, and cuts the connection instead of answering: the same reference is asked about."""
    customer = world.customer(behaviour="time_out_after_booking")
    withdrawal_id = customer.verified()
    customer.becomes(withdrawal_id, "paid")
    assert world.entries(withdrawal_id) == ["payment"]
    assert world.submissions(withdrawal_id) == 1


def test_a_bank_that_is_unavailable_is_asked_again(world: World) -> None:
    """Three times 503: the same reference is submitted until the bank takes it."""
    customer = world.customer(behaviour="unavailable:3")
    withdrawal_id = customer.verified()
    customer.becomes(withdrawal_id, "paid")
    assert world.submissions(withdrawal_id) == 4
    assert world.entries(withdrawal_id) == ["payment"]


def test_notifications_twice_and_in_any_order_move_money_once(world: World) -> None:
    """Payment and return are notified twice each, within a second, in any order: all end as returned, once."""
    world.turn(duplicate_notifications=True, reorder_notifications=True)
    customers = [world.customer(behaviour="pay_then_return") for _ in range(8)]
    withdrawals = at_once(*(customer.verified for customer in customers))
    for customer, withdrawal_id in zip(customers, withdrawals, strict=True):
        customer.becomes(withdrawal_id, "returned")
        assert customer.money() == ("1000.00", "0.00")
        assert customer.events(withdrawal_id).count("returned") == 1
