"""PostgreSQL is the record: what Temporal lost, or somebody ended there, goes on from the rows."""

from __future__ import annotations

from tests.whole.waiting import until
from tests.whole.world import World


def test_a_run_terminated_while_the_bank_is_waited_for_is_started_again_by_its_notification(world: World) -> None:
    """The bank was asked and the run is gone: the next notification starts another, and it is paid once."""
    customer = world.customer(behaviour="silent")
    withdrawal_id = customer.verified()
    until(lambda: world.transfer(withdrawal_id), "the bank has it")
    until(lambda: "bank_accepted" in customer.events(withdrawal_id), "we know that")
    _terminate(world, withdrawal_id)
    assert customer.money() == ("1000.00", "500.00")
    world.set_card(customer, "pay")
    customer.becomes(withdrawal_id, "paid")
    assert world.submissions(withdrawal_id) == 1
    assert world.entries(withdrawal_id) == ["payment"]
    assert world.runs_of(withdrawal_id) == 2


def test_a_run_terminated_while_nobody_says_anything_is_started_again_by_the_sweep(world: World) -> None:
    """The bank is silent and nobody calls: the next sweeps find the run among those that were closed."""
    customer = world.customer(behaviour="silent")
    withdrawal_id = customer.verified()
    until(lambda: "bank_accepted" in customer.events(withdrawal_id), "the bank has it")
    _terminate(world, withdrawal_id)
    until(lambda: world.runs_of(withdrawal_id) == 2, "it is started again", seconds=60)
    world.set_card(customer, "pay")
    customer.becomes(withdrawal_id, "paid")
    assert world.submissions(withdrawal_id) == 1


def test_a_run_terminated_before_finance_decided_is_started_again_by_the_decision(world: World) -> None:
    """The approval finds no run and starts one, which counts it and goes on to the bank."""
    customer = world.customer("50000.00")
    withdrawal_id = customer.verified("50000.00")
    _terminate(world, withdrawal_id)
    assert world.decide(withdrawal_id, "approve", by="fin-1").status_code == 200
    customer.becomes(withdrawal_id, "paid")
    assert world.runs_of(withdrawal_id) == 2


def test_a_run_terminated_before_the_code_was_entered_is_started_again_by_the_code(world: World) -> None:
    """The code that was sent is still the right one, and no other is sent."""
    customer = world.customer()
    withdrawal_id = customer.applied()
    _terminate(world, withdrawal_id)
    assert customer.enter(withdrawal_id, customer.code()).status_code == 200
    customer.becomes(withdrawal_id, "paid")
    assert len(customer.messages()) == 1


def test_a_temporal_that_lost_everything_is_told_again(world: World) -> None:
    """Its file is gone: codes, decisions and notifications find nothing there, and start every run again."""
    entering, approved, silent = world.customer(), world.customer("50000.00"), world.customer(behaviour="silent")
    to_enter, to_approve, with_the_bank = entering.applied(), approved.verified("50000.00"), silent.verified()
    code = entering.code()
    until(lambda: "bank_accepted" in silent.events(with_the_bank), "the bank has it")
    world.stack.temporal.process.kill()
    for file in world.stack.state.temporal_database.parent.iterdir():
        file.unlink()
    world.stack.temporal.start_again()
    until(lambda: entering.enter(to_enter, code).status_code == 200, "the code")
    until(lambda: world.decide(to_approve, "approve", by="fin-1").status_code != 503, "the decision")
    world.set_card(silent, "pay")
    entering.becomes(to_enter, "paid")
    approved.becomes(to_approve, "paid")
    silent.becomes(with_the_bank, "paid")
    assert [world.submissions(one) for one in (to_enter, to_approve, with_the_bank)] == [1, 1, 1]


def _terminate(world: World, withdrawal_id: str) -> None:
    world.temporal("workflow", "terminate", "--workflow-id", f"withdrawal-{withdrawal_id}", "--reason", "by mistake")


def test_an_empty_temporal_and_no_word_from_the_bank(world: World) -> None:
    """Nobody prompts anything: the sweep alone ends what was unfinished, and credits what comes back long after."""
    world.turn(return_after_s=3600.0)
    silent, returning, entered = (world.customer(behaviour=one) for one in ("silent", "pay_then_return", "pay"))
    with_the_bank, paid, to_enter = silent.verified(), returning.verified(), entered.applied()
    returning.becomes(paid, "paid")
    until(lambda: "bank_accepted" in silent.events(with_the_bank), "the bank has it")
    world.turn(drop_notifications=True)
    world.stack.temporal.process.kill()
    for file in world.stack.state.temporal_database.parent.iterdir():
        file.unlink()
    world.set_card(silent, "pay")
    world.turn(return_after_s=0.0)
    world.stack.temporal.start_again()
    silent.becomes(with_the_bank, "paid", seconds=60)
    returning.becomes(paid, "returned", seconds=60)
    assert returning.money() == ("1000.00", "0.00")
    until(lambda: any("退回" in message["text"] for message in returning.messages()), "the customer is told")
    world.set_card(returning, "pay")
    returning.becomes(returning.verified("100.00"), "paid", seconds=60)
    until(lambda: entered.enter(to_enter, entered.code()).status_code == 200, "the code")
    entered.becomes(to_enter, "paid", seconds=60)
    assert [world.submissions(one) for one in (with_the_bank, paid, to_enter)] == [1, 1, 1]
