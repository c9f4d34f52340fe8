"""How often a caller may call, and what one who comes more often hears."""

from __future__ import annotations

import dataclasses

import httpx
import pytest
from fastapi import FastAPI

from api.app import build_app
from api.parts import Parts
from api.rate_limits import Buckets, CallLimits, Rate
from domain.errors import TooManyRequests
from tests.api.conftest import GENEROUS
from tests.api.console import Console, application, refused, registration
from tests.api.played_engine import PlayedEngine

SCARCE = Rate(per_second=0.5, burst=3)


class Clock:
    """Seconds, as told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def takes(buckets: Buckets, name: str, count: int) -> int:
    """How many of so many calls at once are let through."""
    through = 0
    for _ in range(count):
        try:
            buckets.take(name)
        except TooManyRequests:
            continue
        through += 1
    return through


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    """Three at once; then one every two seconds, and Retry-After says when; a refused call costs nothing."""
    clock = Clock()
    buckets = Buckets(SCARCE, clock)
    assert takes(buckets, "a", 10) == 3
    with pytest.raises(TooManyRequests) as refusal:
        buckets.take("a")
    assert refusal.value.retry_after_s == 2
    clock.now += 1.9
    assert takes(buckets, "a", 1) == 0
    clock.now += 0.1
    assert takes(buckets, "a", 10) == 1
    clock.now += 3600
    assert takes(buckets, "a", 10) == 3


def test_each_name_has_a_bucket_of_its_own() -> None:
    """One caller's haste is not another's."""
    buckets = Buckets(SCARCE, Clock())
    assert [takes(buckets, name, 5) for name in "abc"] == [3, 3, 3]


def test_no_number_of_names_fills_the_memory() -> None:
    """Full buckets are forgotten at once, others from the oldest on."""
    clock = Clock()
    buckets = Buckets(SCARCE, clock, most=100)
    for number in range(1000):
        buckets.take(f"name-{number}")
    assert len(buckets) == 100
    clock.now += 3600
    buckets.take("one")
    assert len(buckets) == 1


def test_strangers_are_told_apart_by_address_and_by_network() -> None:
    """An IPv6 host has a whole /64 to call from; what is no address at all is one more stranger."""
    limits = CallLimits(GENEROUS, GENEROUS, Rate(per_second=0.5, burst=1))
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", None, "x" * 10_000):
        limits.count_stranger(address)
    for again in ("192.0.2.1", "2001:db8::ffff:1", "", "x" * 9_000):
        with pytest.raises(TooManyRequests):
            limits.count_stranger(again)


def with_limits(app: FastAPI, parts: Parts, limits: CallLimits) -> None:
    """Puts other limits in place."""
    app.state.parts = dataclasses.replace(parts, limits=limits)


async def test_too_many_calls_are_refused_and_change_nothing(console: Console, app: FastAPI, parts: Parts) -> None:
    """429 with Retry-After for the fourth; for others the door is open, and billing is counted apart."""
    with_limits(app, parts, CallLimits(people=SCARCE, billing=GENEROUS, strangers=GENEROUS))
    for _ in range(3):
        assert (await console.as_customer("GET", "/v1/accounts/acct_1001")).status_code == 200
    async with console.nothing_changes():
        answer = await console.apply()
        problem = refused(answer, 429, "too_many_requests")
        assert answer.headers["retry-after"] == "2" == str(problem["retry_after_s"])
    assert (await console.apply(of="acct_2002")).status_code == 201
    for _ in range(5):
        answer = await console.as_billing("PUT", "/v1/accounts/acct_3", json=registration())
        assert answer.status_code == 200


async def test_billing_has_a_limit_too(console: Console, app: FastAPI, parts: Parts) -> None:
    """And what is over it books nothing."""
    with_limits(app, parts, CallLimits(people=GENEROUS, billing=SCARCE, strangers=GENEROUS))
    booking = {"reference": "r", "amount": "1.00"}
    for _ in range(3):
        await console.as_billing("POST", "/v1/accounts/acct_1001/top-ups", json=booking)
    async with console.nothing_changes():
        answer = await console.as_billing("POST", "/v1/accounts/acct_1001/top-ups", json=booking | {"reference": "s"})
        refused(answer, 429, "too_many_requests")


async def test_strangers_are_slowed_and_lock_nobody_out(
    console: Console, app: FastAPI, parts: Parts, engine: PlayedEngine
) -> None:
    """Bad tokens and unsigned notifications count alike; a good token from the same address is let in."""
    with_limits(app, parts, CallLimits(people=GENEROUS, billing=GENEROUS, strangers=SCARCE))

    async def guess() -> httpx.Response:
        return await console.http.post("/v1/withdrawals", headers={"Authorization": "Bearer a.b.c"}, json=application())

    for _ in range(2):
        refused(await guess(), 401, "unauthenticated")
    refused(await console.http.post("/v1/bank-notifications", content=b"{}"), 401, "unauthenticated")
    refused(await guess(), 429, "too_many_requests")
    refused(await console.http.post("/v1/bank-notifications", content=b"{}"), 429, "too_many_requests")
    refused(await console.http.get("/v1/withdrawals"), 429, "too_many_requests")
    assert (await console.as_customer("GET", "/v1/withdrawals")).status_code == 200
    assert (await console.http.get("/healthz")).status_code == 200


def test_every_call_says_that_it_may_be_refused() -> None:
    """429 is in the description wherever there is a caller."""
    for path, calls in build_app().openapi()["paths"].items():
        for call in calls.values():
            assert ("429" in call["responses"]) == path.startswith("/v1/"), path
