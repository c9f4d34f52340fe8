"""An operator's day: the command line on the running stack finds what is stuck, says why, and frees it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from stack.local import ROOT
from tests.whole.waiting import until
from tests.whole.world import World


def operations(world: World, *words: str) -> tuple[int, Any]:
    """The exit code and the JSON of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "operations", "--json", *words],
        cwd=ROOT,
        env=world.stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_a_withdrawal_is_shown_in_postgresql_in_temporal_and_at_the_bank(world: World) -> None:
    """One look, three places, and no personal data in any of them."""
    customer = world.customer()
    withdrawal_id = customer.verified()
    customer.becomes(withdrawal_id, "paid")
    until(lambda: operations(world, "show", withdrawal_id)[1]["run"]["status"] == "COMPLETED", "the run is over")
    code, shown = operations(world, "show", f"withdrawal-{withdrawal_id}")
    assert (code, shown["problems"]) == (0, [])
    assert shown["withdrawal"]["status"] == "paid"
    assert shown["moves"] == ["freeze", "settle"]
    assert (shown["transfer"]["state"], shown["bank"]["state"]) == ("succeeded", "succeeded")
    for secret in (customer.phone, customer.card_number, "云上科技"):
        assert secret not in json.dumps(shown, ensure_ascii=False)


def test_all_that_wait_are_listed_and_none_of_them_is_a_trouble(world: World) -> None:
    """With what each waits for, in the words that ``show`` has for it."""
    customer = world.customer(behaviour="silent")
    withdrawal_id = customer.verified()
    until(lambda: "bank_accepted" in customer.events(withdrawal_id), "the bank has it")
    window = customer.read(withdrawal_id)["arrival_window"]
    code, listed = operations(world, "stuck", "--all")
    assert (code, listed["problems"]) == (0, [])
    [item] = [item for item in listed["items"] if item["id"] == withdrawal_id]
    assert item["waits_for"] == f"the bank, until the end of {window['latest']}"
    assert item["why"] is None
    assert operations(world, "show", withdrawal_id)[1]["waits_for"] == item["waits_for"]
    code, late = operations(world, "stuck")
    assert (code, late["items"]) == (0, [])
    world.set_card(customer, "pay")
    customer.becomes(withdrawal_id, "paid")
    assert operations(world, "show", withdrawal_id)[1]["waits_for"] == "nothing: it is over"


def test_a_run_that_was_terminated_is_found_and_started_again(world: World) -> None:
    """Exit code 1 while something is wrong; a second restart changes nothing."""
    customer = world.customer(behaviour="silent")
    withdrawal_id = customer.verified()
    until(lambda: "bank_accepted" in customer.events(withdrawal_id), "the bank has it")
    code, shown = operations(world, "show", withdrawal_id)
    assert (code, shown["problems"]) == (0, [])
    world.temporal("workflow", "terminate", "--workflow-id", f"withdrawal-{withdrawal_id}", "--reason", "by mistake")
    code, shown = operations(world, "show", withdrawal_id)
    assert (code, shown["problems"]) == (1, ["it is not over, and no run tells its story: restart it"])
    assert operations(world, "restart", withdrawal_id)[0] == 0
    assert operations(world, "restart", withdrawal_id) == (0, {"started": False, "problems": []})
    world.set_card(customer, "pay")
    assert operations(world, "nudge", withdrawal_id)[0] == 0
    customer.becomes(withdrawal_id, "paid")
    assert world.submissions(withdrawal_id) == 1


def test_a_bank_that_is_away_is_named_as_the_reason(world: World) -> None:
    """Whoever looks sees that nothing is to be freed here, and that it goes on by itself."""
    customer = world.customer()
    withdrawal_id = customer.verified()
    customer.becomes(withdrawal_id, "paid")
    world.turn(unavailable=True)
    code, shown = operations(world, "show", withdrawal_id)
    assert code == 1
    assert shown["problems"] == ["the bank is away: the bank answered a query with 503"]


def test_all_is_well_or_the_exit_code_says_so(world: World) -> None:
    """The checks are those of the sweep and more; wrong calls are told apart from troubles."""
    until(lambda: operations(world, "verify")[0] == 0, "the sweep has run")
    code, checked = operations(world, "verify")
    assert (code, checked["problems"]) == (0, [])
    assert set(checked["checks"]) >= {"the invariants", "the sweep", "the bank's statements", "the audit chain"}
    assert operations(world, "show", "00000000-0000-0000-0000-000000000000")[0] == 2
    assert operations(world, "show", "nonsense")[0] == 2
    assert operations(world, "frob")[0] == 2


def test_a_paid_one_has_no_run_to_restart(world: World) -> None:
    """Nothing is started for what is over; a nudge asks the bank whether it came back."""
    customer = world.customer()
    withdrawal_id = customer.verified()
    customer.becomes(withdrawal_id, "paid")
    assert operations(world, "restart", withdrawal_id)[0] == 2
    assert operations(world, "nudge", withdrawal_id)[1]["nudged"] == f"bank-return-{withdrawal_id}"
