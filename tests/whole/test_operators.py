"""An operator's day: the command line on the running stack finds what is stuck, says why, and frees it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stack.local import ROOT
from tests.whole.waiting import until
from tests.whole.world import World


def operations(world: World, *words: str, environment: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """The exit code and the JSON of a command, or its complaint."""
    done = subprocess.run(
        [sys.executable, "-m", "operations", "--json", *words],
        cwd=ROOT,
        env={**world.stack.environment, **(environment or {})},
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
    assert shown["run"]["ending"]["reason"] == "by mistake"
    assert shown["run"]["ending"]["by"].startswith("temporal-cli:")
    code, restarted = operations(world, "restart", withdrawal_id)
    assert (code, restarted["started"], restarted["run"]) == (0, True, "RUNNING")
    assert restarted["waits_for"] == operations(world, "show", withdrawal_id)[1]["waits_for"]
    code, again = operations(world, "restart", withdrawal_id)
    assert (code, again["started"], again["moved"], again["problems"]) == (0, False, False, [])
    world.set_card(customer, "pay")
    assert operations(world, "nudge", withdrawal_id)[0] == 0
    customer.becomes(withdrawal_id, "paid")
    assert world.submissions(withdrawal_id) == 1


def test_who_asked_for_a_cancellation_in_temporal_is_shown(world: World) -> None:
    """Its last event does not say it."""
    customer = world.customer()
    withdrawal_id = customer.applied()
    world.temporal("workflow", "cancel", "--workflow-id", f"withdrawal-{withdrawal_id}")
    customer.becomes(withdrawal_id, "cancelled")
    run = until(lambda: operations(world, "show", withdrawal_id)[1]["run"]["ending"], "the run is over")
    assert run["by"].startswith("temporal-cli:")
    assert run["at"] > customer.read(withdrawal_id)["created_at"]


@contextmanager
def sweeps_paused(world: World) -> Iterator[None]:
    """As somebody does for a moment and forgets."""
    toggle = ("schedule", "toggle", "--schedule-id", "reconciliation", "--reason", "for a moment")
    world.temporal(*toggle, "--pause")
    # One that is under way still does its work.
    running = "WorkflowType = 'ReconciliationWorkflow' AND ExecutionStatus = 'Running'"
    until(lambda: world.count_runs(running) == 0, "no sweep is under way")
    try:
        yield
    finally:
        world.temporal(*toggle, "--unpause")


def test_a_lost_notification_is_seen_among_all_and_freed_by_a_nudge(world: World) -> None:
    """While nobody sweeps, only whoever asks the bank can see it, and the words are those of ``show``."""
    world.turn(drop_notifications=True)
    customer = world.customer(behaviour="silent")
    withdrawal_id = customer.verified()
    until(lambda: "bank_accepted" in customer.events(withdrawal_id), "the bank has it")
    with sweeps_paused(world):
        world.set_card(customer, "pay")
        until(lambda: world.entries(withdrawal_id), "the bank has paid")
        code, listed = operations(world, "stuck")
        [item] = [item for item in listed["items"] if item["id"] == withdrawal_id]
        assert (code, item["account_id"]) == (1, customer.account_id)
        assert item["why"] == "the bank says succeeded, and our rows say accepted: nudge it"
        assert operations(world, "show", withdrawal_id)[1]["problems"] == [item["why"]]
        code, nudged = operations(world, "nudge", withdrawal_id)
        assert (code, nudged["moved"], nudged["status"]) == (0, True, "paid")
        assert withdrawal_id not in [item["id"] for item in operations(world, "stuck")[1]["items"]]


def test_a_paused_sweep_is_found_and_goes_on(world: World) -> None:
    """Found at once, not when something has gone wrong because of it."""
    until(lambda: operations(world, "verify")[0] == 0, "the sweep has run")
    with sweeps_paused(world):
        code, checked = operations(world, "verify")
        assert code == 1
        [wrong] = checked["checks"]["the schedules"]["wrong"]
        assert wrong.startswith("reconciliation is paused (for a moment), at some time after its last run at 20")
        code, shown = operations(world, "schedules")
        assert (code, shown["schedules"]["reconciliation"]["paused"], shown["resumed"]) == (1, True, [])
        assert shown["problems"] == [wrong]
        code, shown = operations(world, "schedules", "--resume")
        assert (code, shown["schedules"]["reconciliation"]["paused"], shown["resumed"]) == (
            0,
            False,
            ["reconciliation"],
        )
        assert operations(world, "schedules", "--resume")[1]["resumed"] == []
    until(lambda: operations(world, "verify")[0] == 0, "the sweep runs again", seconds=60)


def test_a_schedule_that_was_deleted_is_missed(world: World) -> None:
    """Until a worker makes it again, which here it does not before it was looked for."""
    os.kill(world.stack.worker.pid, signal.SIGSTOP)
    world.temporal("schedule", "delete", "--schedule-id", "retention")
    code, shown = operations(world, "schedules")
    assert (code, "retention is missing: a worker makes it again, is one there?" in shown["problems"]) == (1, True)
    os.kill(world.stack.worker.pid, signal.SIGCONT)
    until(lambda: operations(world, "schedules")[0] == 0, "it is there again", seconds=60)


def test_without_temporal_everything_else_is_still_looked_at(world: World) -> None:
    """And that it is away is said, by every command that asks it."""
    customer = world.customer()
    withdrawal_id = customer.verified()
    customer.becomes(withdrawal_id, "paid")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        elsewhere = {"TEMPORAL_ADDRESS": f"127.0.0.1:{nobody.getsockname()[1]}"}
        away = "Temporal is away (nothing answers at its address)"
        code, checked = operations(world, "verify", environment=elsewhere)
        assert code == 1
        assert checked["checks"]["the schedules"]["wrong"] == [f"{away}: the schedules were not looked at"]
        assert checked["checks"]["the invariants"]["wrong"] == []
        code, shown = operations(world, "show", withdrawal_id, environment=elsewhere)
        assert (code, shown["problems"]) == (1, ["Temporal is away: nothing answers at its address"])
        code, listed = operations(world, "stuck", environment=elsewhere)
        assert code == 1
        assert f"{away}: of the runs nothing was seen" in listed["problems"]
        code, said = operations(world, "nudge", withdrawal_id, environment=elsewhere)
        assert (code, said) == (1, "Temporal is away: nothing answers at its address\n")


def test_the_withdrawals_of_an_account_are_found_without_a_number(world: World) -> None:
    """Whoever answers the telephone has the customer's account."""
    customer = world.customer()
    assert operations(world, "of", customer.account_id)[1]["items"] == []
    withdrawal_id = customer.verified()
    customer.becomes(withdrawal_id, "paid")
    code, listed = operations(world, "of", customer.account_id)
    assert code == 0
    [item] = listed["items"]
    assert (item["id"], item["status"], item["waits_for"]) == (withdrawal_id, "paid", "nothing: it is over")
    assert operations(world, "of", "acct_of_nobody") == (2, "there is no account acct_of_nobody\n")
    code, said = operations(world, "show", customer.account_id)
    assert (code, f"'{customer.account_id}' is not a withdrawal's number" in said) == (2, True)


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
    assert set(checked["checks"]) >= {
        "the invariants",
        "the schedules",
        "the sweep",
        "the bank's statements",
        "the audit chain",
    }
    assert operations(world, "show", "00000000-0000-0000-0000-000000000000")[0] == 2
    assert operations(world, "show", "nonsense")[0] == 2
    assert operations(world, "frob")[0] == 2


def test_a_paid_one_has_no_run_to_restart(world: World) -> None:
    """Nothing is started for what is over; a nudge asks the bank whether it came back."""
    customer = world.customer()
    withdrawal_id = customer.verified()
    customer.becomes(withdrawal_id, "paid")
    assert operations(world, "restart", withdrawal_id)[0] == 2
    code, nudged = operations(world, "nudge", withdrawal_id)
    assert (code, nudged["nudged"]) == (0, f"bank-return-{withdrawal_id}")
    assert (nudged["moved"], nudged["status"], nudged["run"]) == (False, "paid", "COMPLETED")
