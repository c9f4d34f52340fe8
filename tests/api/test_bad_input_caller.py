"""What bad input gets (product.md), the rows about who asks and for what: 401, 403, 404."""

from __future__ import annotations

from uuid import uuid4

import httpx

from tests.api.console import Console, refused
from tests.api.played_engine import PlayedEngine


async def test_no_token_is_unauthenticated(console: Console) -> None:
    """401 and the scheme to use, before anything is said about the body."""
    async with console.nothing_changes():
        for method, path in (("POST", "/v1/withdrawals"), ("GET", "/v1/accounts/acct_1001")):
            answer = await console.http.request(method, path, content=b"{")
            refused(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


ID = "018f0000-0000-7000-8000-000000000000"
EVERY_CALL = {
    ("GET", "/v1/accounts/acct_1001"): {"withdrawals"},
    ("POST", "/v1/withdrawals"): {"withdrawals"},
    ("POST", f"/v1/withdrawals/{ID}/verification"): {"withdrawals"},
    ("POST", f"/v1/withdrawals/{ID}/verification/resend"): {"withdrawals"},
    ("POST", f"/v1/withdrawals/{ID}/cancel"): {"withdrawals"},
    ("GET", f"/v1/withdrawals/{ID}"): {"withdrawals", "finance", "operations"},
    ("GET", "/v1/withdrawals"): {"withdrawals", "finance", "operations"},
    ("GET", f"/v1/withdrawals/{ID}/events"): {"withdrawals", "finance", "operations"},
    ("POST", f"/v1/withdrawals/{ID}/decision"): {"finance"},
    ("POST", f"/v1/withdrawals/{ID}/resolution"): {"finance"},
    ("PUT", "/v1/accounts/acct_1001"): {"billing"},
    ("POST", "/v1/accounts/acct_1001/top-ups"): {"billing"},
    ("POST", "/v1/accounts/acct_1001/charges"): {"billing"},
    ("POST", "/v1/accounts/acct_1001/vouchers"): {"billing"},
}


async def test_the_wrong_scope_is_forbidden(console: Console) -> None:
    """Every call is open to exactly the scopes of the contract; who asks is checked before what for."""
    async with console.nothing_changes():
        for scope in ("withdrawals", "finance", "operations", "billing", "", "withdrawal", "admin"):
            for (method, path), allowed in EVERY_CALL.items():
                bearer = console.bearer(scope=scope)
                answer = await console.http.request(method, path, headers=bearer, content=b"{")
                if scope in allowed:
                    assert answer.status_code not in (401, 403), (method, path)
                else:
                    refused(answer, 403, "forbidden")


async def test_a_customer_without_an_account_is_forbidden(console: Console) -> None:
    """The scope `withdrawals` is worth nothing without the claim `account_id`."""
    async with console.nothing_changes():
        for (method, path), allowed in EVERY_CALL.items():
            if "withdrawals" in allowed:
                bearer = console.bearer(account_id=None)
                refused(await console.http.request(method, path, headers=bearer), 403, "forbidden")


async def test_anothers_is_answered_exactly_as_missing(console: Console, engine: PlayedEngine) -> None:
    """The same words for another's account or withdrawal and for none at all: nobody can tell which exist."""
    theirs = await console.applied(of="acct_2002")
    engine.heard.clear()

    def same(one: httpx.Response, other: httpx.Response) -> None:
        answers = [refused(answer, 404, "not_found") | {"request_id": ""} for answer in (one, other)]
        assert answers[0] == answers[1]

    async with console.nothing_changes():
        same(
            await console.as_customer("GET", "/v1/accounts/acct_2002"),
            await console.as_customer("GET", "/v1/accounts/acct_none"),
        )
        same(await console.apply(account_id="acct_2002"), await console.apply(account_id="acct_none"))
        same(
            await console.as_customer("GET", "/v1/withdrawals?account_id=acct_2002"),
            await console.as_customer("GET", "/v1/withdrawals?account_id=acct_none"),
        )
        for method, call, body in (
            ("GET", "", None),
            ("GET", "/events", None),
            ("POST", "/cancel", None),
            ("POST", "/verification", {"code": "123456"}),
            ("POST", "/verification/resend", None),
        ):
            same(
                await console.as_customer(method, f"/v1/withdrawals/{theirs['id']}{call}", json=body),
                await console.as_customer(method, f"/v1/withdrawals/{uuid4()}{call}", json=body),
            )
    assert engine.heard == []


async def test_an_account_that_is_gone_is_not_found(console: Console) -> None:
    """A token may name an account that billing never registered."""
    async with console.nothing_changes():
        refused(await console.as_customer("GET", "/v1/accounts/acct_9", of="acct_9"), 404, "not_found")
        refused(await console.apply(of="acct_9"), 404, "not_found")
        booking = {"reference": "r", "amount": "1.00"}
        refused(await console.as_billing("POST", "/v1/accounts/acct_9/top-ups", json=booking), 404, "not_found")


async def test_an_id_that_is_no_id_is_not_found(console: Console) -> None:
    """What is no UUID names no withdrawal."""
    for bad_id in ("1", "not-a-uuid", f"{{{ID}}}", ID.replace("-", ""), f"{ID}0", "%00", f"urn:uuid:{ID}"):
        refused(await console.as_customer("GET", f"/v1/withdrawals/{bad_id}"), 404, "not_found")
        refused(await console.as_finance("POST", f"/v1/withdrawals/{bad_id}/decision", json={}), 404, "not_found")


async def test_an_unknown_path_is_not_found(console: Console) -> None:
    """In the shape of every other refusal, and without a redirect."""
    for path in ("/", "/v1", "/v2/withdrawals", "/v1/withdrawals/", "/docs"):
        refused(await console.http.get(path), 404, "not_found")


async def test_an_unknown_method_says_which_are_known(console: Console) -> None:
    """405 with all methods of the path, also where several routes share it."""
    answer = await console.http.delete("/v1/withdrawals")
    refused(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST"}
    answer = await console.http.post("/v1/accounts/acct_1001")
    refused(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "PUT"}
