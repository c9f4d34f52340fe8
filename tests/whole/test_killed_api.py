"""The API is killed under load, and its callers do what the contract says: the same call again."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import httpx

from tests.whole.customers import Customer
from tests.whole.world import World

CUSTOMERS = 30


def test_an_api_killed_under_load_loses_and_doubles_nothing(world: World) -> None:
    """SIGKILL among 30 applications: each customer who repeats has one withdrawal, the one told of, and is paid."""
    customers = [world.customer() for _ in range(CUSTOMERS)]
    # So that a code that is entered again still finds its withdrawal open.
    world.turn(settle_after_s=3600.0)
    with ThreadPoolExecutor(CUSTOMERS) as threads:
        calls = [threads.submit(_withdraw, customer) for customer in customers]
        done, under_way = wait(calls, timeout=20, return_when=FIRST_COMPLETED)
        assert done
        assert under_way, "it was killed too late"
        # Here and not in a thread: a process dies with the thread that started it.
        world.stack.api.start_again()
        withdrawals = [call.result() for call in calls]
    world.turn(settle_after_s=0.3)
    for customer, withdrawal_id in zip(customers, withdrawals, strict=True):
        assert [one["id"] for one in customer.record()] == [withdrawal_id]
        customer.becomes(withdrawal_id, "paid")
        assert customer.money() == ("500.00", "0.00")


def _withdraw(customer: Customer) -> str:
    """The id, once the application was taken and the code was right, however often either had to be repeated."""
    key = f"key-of-{customer.account_id}"
    taken = _answered(lambda: customer.apply(key=key))
    assert taken.status_code in (201, 202), taken.text
    withdrawal_id = str(taken.json()["id"])
    assert _answered(lambda: customer.enter(withdrawal_id, customer.code())).status_code == 200
    return withdrawal_id


def _answered(call: Callable[[], httpx.Response]) -> httpx.Response:
    """The first answer that is more than *ask again*."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = call()
        except httpx.TransportError:
            pass
        else:
            if "Retry-After" not in answer.headers:
                return answer
        assert time.monotonic() < deadline, "no answer within a minute"
        time.sleep(0.3)
