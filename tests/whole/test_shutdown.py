"""SIGTERM under load: whoever is being served is served, and what is under way is finished or taken over."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from functools import partial

import httpx

from stack.processes import Process
from tests.whole.customers import Customer
from tests.whole.waiting import at_once, until
from tests.whole.world import World


def test_the_api_answers_every_request_it_took_before_it_ends(world: World) -> None:
    """Each caller gets a whole answer, or is not let in at all; nobody is cut off.

    Who was still in the kernel's queue when the door was closed was never let in: the API has no line of it.
    """
    api, answered, refused = world.stack.api, [], []
    customers = [world.customer() for _ in range(6)]
    before = _applications_taken(api)
    started = threading.Event()

    def call_until_refused(index: int) -> None:
        customer = customers[index]
        while True:
            try:
                # A connection a call, as after a load balancer that takes the process out: an idle one may be closed.
                with httpx.Client(base_url=world.stack.api_url, trust_env=False, timeout=30) as own:
                    customer_with_own = customer.through(own)
                    answered.append(customer_with_own.apply("1.00").status_code)
            except httpx.HTTPError:
                refused.append(index)
                return
            if len(answered) >= len(customers):
                started.set()

    threads = [threading.Thread(target=call_until_refused, args=(index,)) for index in range(len(customers))]
    for thread in threads:
        thread.start()
    assert started.wait(30)
    os.kill(api.pid, signal.SIGTERM)
    for thread in threads:
        thread.join(30)
    until(lambda: api.exit_code is not None, "the API has ended")
    assert _applications_taken(api) - before == len(answered)
    assert len(refused) == len(customers)
    # The first application of each is taken; the others are told that one is in progress.
    assert set(answered) <= {201, 202, 409}
    assert api.exit_code in (0, -signal.SIGTERM)
    assert "CancelledError" not in api.log.read_text()


def test_a_worker_that_is_told_to_stop_finishes_what_it_is_at(world: World) -> None:
    """The bank is slow, transfers are under way: each is submitted once, by an attempt that was not cut."""
    world.turn(latency_s=2.0)
    customers = [world.customer() for _ in range(5)]
    withdrawals = at_once(*(customer.verified for customer in customers))
    for customer, withdrawal_id in zip(customers, withdrawals, strict=True):
        until(partial(_asked, customer, withdrawal_id), "it is being submitted")
    told_at = time.monotonic()
    os.kill(world.stack.worker.pid, signal.SIGTERM)
    until(lambda: world.stack.worker.exit_code is not None, "the worker has ended")
    assert time.monotonic() - told_at < 20
    assert world.stack.worker.exit_code == 0
    assert '"worker.stopped"' in world.stack.worker.log.read_text()
    world.turn(latency_s=0.0)
    with world.stack.another_worker():
        for customer, withdrawal_id in zip(customers, withdrawals, strict=True):
            customer.becomes(withdrawal_id, "paid")
    for withdrawal_id in withdrawals:
        assert world.submissions(withdrawal_id) == 1
        history = _history(world, withdrawal_id)
        assert "ACTIVITY_TASK_COMPLETED" in history
        # What an attempt that was cut leaves behind.
        assert "ACTIVITY_TASK_TIMED_OUT" not in history
        assert "lastFailure" not in history


def _applications_taken(api: Process) -> int:
    """How many the API has read and answered, by its own log; one that is cut off is counted too."""
    lines = [json.loads(line) for line in api.log.read_text().splitlines() if line.startswith("{")]
    return sum((line.get("method"), line.get("route")) == ("POST", "/v1/withdrawals") for line in lines)


def _asked(customer: Customer, withdrawal_id: str) -> bool:
    return "bank_asked" in customer.events(withdrawal_id)


def _history(world: World, withdrawal_id: str) -> str:
    """Of every run: news that comes while the first one ends starts another, which looks and ends."""
    run = f"withdrawal-{withdrawal_id}"
    listed = world.temporal("workflow", "list", "--query", f"WorkflowId = '{run}'", "--output", "json")
    runs = [one["execution"]["runId"] for one in json.loads(listed)]
    return "".join(world.temporal("workflow", "show", "-w", run, "-r", one, "--output", "json") for one in runs)
