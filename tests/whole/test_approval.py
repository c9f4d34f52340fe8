"""Finance decides on large amounts: through the API, and at the command line of Temporal."""

from __future__ import annotations

from tests.whole.waiting import until
from tests.whole.world import World


def test_fifty_thousand_needs_one_approval(world: World) -> None:
    """49,999.99 needs nobody; 50,000.00 waits, frozen and unknown to the bank, until one person approved."""
    customer = world.customer("49999.99")
    assert customer.read(customer.verified("49999.99"))["approvals"]["needed"] == 0
    customer = world.customer("50000.00")
    withdrawal_id = customer.verified("50000.00")
    assert customer.status(withdrawal_id) == "awaiting_approval"
    assert customer.money() == ("50000.00", "50000.00")
    assert world.submissions(withdrawal_id) == 0
    approved = world.decide(withdrawal_id, "approve", by="fin-1")
    assert (approved.status_code, approved.json()["approvals"]["given"][0]["approver"]) == (200, "fin-1")
    customer.becomes(withdrawal_id, "paid")


def test_half_a_million_needs_two_people(world: World) -> None:
    """The same person counts once, the applicant never, whatever their token allows; the second one lets it go."""
    customer = world.customer("500000.00")
    withdrawal_id = customer.verified("500000.00")
    own = world.decide(withdrawal_id, "approve", by=f"user-of-{customer.account_id}")
    assert (own.status_code, own.json()["code"]) == (403, "four_eyes_violated")
    assert world.decide(withdrawal_id, "approve", by="fin-1").json()["status"] == "awaiting_approval"
    again = world.decide(withdrawal_id, "approve", by="fin-1")
    assert (again.status_code, again.json()["code"]) == (403, "four_eyes_violated")
    assert world.submissions(withdrawal_id) == 0
    assert world.decide(withdrawal_id, "approve", by="fin-2").json()["status"] == "processing"
    customer.becomes(withdrawal_id, "paid")
    late = world.decide(withdrawal_id, "reject", by="fin-3")
    assert (late.status_code, late.json()["code"]) == (409, "not_possible_now")


def test_finance_decides_at_the_command_line_by_the_same_rules(world: World) -> None:
    """The signal `decide` refuses the applicant, counts one person once, and the event says which way it came."""
    customer = world.customer("500000.00")
    withdrawal_id = customer.verified("500000.00")
    world.signal_decision(withdrawal_id, "approve", by=f"user-of-{customer.account_id}")
    world.signal_decision(withdrawal_id, "approve", by="fin-1")
    world.signal_decision(withdrawal_id, "approve", by="fin-1")
    until(lambda: customer.read(withdrawal_id)["approvals"]["given"], "one approval")
    world.signal_decision(withdrawal_id, "approve", by="fin-2")
    customer.becomes(withdrawal_id, "paid")
    events = world.api.get(f"/v1/withdrawals/{withdrawal_id}/events", headers=world.bearer("finance", "fin-9")).json()
    approvals = [(event["by"], event["via"]) for event in events["items"] if event["kind"] == "approved"]
    assert approvals == [("fin-1", "temporal"), ("fin-2", "temporal")]


def test_a_rejection_at_the_command_line_gives_everything_back(world: World) -> None:
    """`temporal workflow signal` with `reject`: unfrozen, never known to the bank, and the month is free."""
    customer = world.customer("60000.00")
    withdrawal_id = customer.verified("50000.00")
    world.signal_decision(withdrawal_id, "reject", by="fin-1")
    rejected = customer.becomes(withdrawal_id, "rejected")
    assert rejected["failure"]["code"] == "rejected_by_finance"
    assert customer.money() == ("60000.00", "0.00")
    assert world.submissions(withdrawal_id) == 0
    assert customer.apply().status_code == 201


def test_a_signal_nobody_can_read_does_no_harm(world: World) -> None:
    """A payload of another shape ends neither the run nor the wait."""
    customer = world.customer("50000.00")
    withdrawal_id = customer.verified("50000.00")
    for word in ('{"approver": "fin-1"}', '"approve"', "null", '{"approver": "fin-1", "decision": "perhaps"}'):
        run = ("--workflow-id", f"withdrawal-{withdrawal_id}")
        world.temporal("workflow", "signal", *run, "--name", "decide", "--input", word, *world.codec("finance"))
    assert world.decide(withdrawal_id, "approve", by="fin-1").status_code == 200
    customer.becomes(withdrawal_id, "paid")
