"""Requests put together to be read twice, in two ways: headers, queries, cursors, paths."""

from __future__ import annotations

import base64
import json
import struct
import time
from typing import Any
from uuid import uuid4

import pytest

from api.app import build_app
from api.body import BODY_LIMIT, read_json
from tests.api.console import Console, application, refused

WILDCARDS = [
    "%",
    "_",
    "acct%1001",
    "acct__001",
    "' OR '1'='1",
    "acct_1001'--",
    "acct_1001\\",
    "ａｃｃｔ_1001",
    "acct_1001\u200b",
]


@pytest.mark.parametrize("account_id", WILDCARDS)
async def test_no_pattern_and_no_look_alike_is_an_account(console: Console, account_id: str) -> None:
    """Neither in the filter nor in the path nor in a body: an account id is compared, never matched."""
    await console.applied()
    answer = await console.as_operations("GET", "/v1/withdrawals", params={"account_id": account_id})
    if answer.status_code == 200:
        assert answer.json()["items"] == []
    else:
        refused(answer, 422, "invalid_request")
    answer = await console.as_customer("GET", f"/v1/accounts/{account_id.replace('%', '%25')}")
    refused(answer, 404, "not_found")
    async with console.nothing_changes():
        assert (await console.apply(account_id=account_id)).status_code in (404, 422)


def forged(microseconds: int, key: bytes) -> str:
    """A cursor in our own form, with whatever inside."""
    return base64.urlsafe_b64encode(struct.pack(">q16s", microseconds, key)).decode()


async def test_a_forged_cursor_is_a_place_or_no_cursor(console: Console) -> None:
    """The ends of time, of the ids, and everything cut off or mended: a page of one's own, or 422."""
    mine = await console.applied()
    await console.applied(of="acct_2002")
    good = forged(2**52, uuid4().bytes)
    for microseconds in (0, 1, -1, 2**62, -(2**63), 2**63 - 1, 253_402_300_799_999_999):
        for key in (b"\0" * 16, b"\xff" * 16):
            answer = await console.as_customer("GET", "/v1/withdrawals", params={"cursor": forged(microseconds, key)})
            assert answer.status_code in (200, 422), microseconds
            if answer.status_code == 200:
                assert {item["id"] for item in answer.json()["items"]} <= {mine["id"]}
    for cursor in (
        good[:-1],
        good + "A",
        good + "=",
        good.replace(good[0], "!"),
        good[::-1] + "\n",
        "A" * 10_000,
        "\0",
    ):
        answer = await console.as_customer("GET", "/v1/withdrawals", params={"cursor": cursor})
        refused(answer, 422, "invalid_request")


async def test_a_parameter_sent_twice_has_one_meaning(console: Console) -> None:
    """What is checked is what is used: a second `account_id` opens no other account's record."""
    await console.applied(of="acct_2002")
    for query in ("account_id=acct_1001&account_id=acct_2002", "account_id=acct_2002&account_id=acct_1001"):
        answer = await console.as_customer("GET", f"/v1/withdrawals?{query}")
        if answer.status_code == 200:
            assert answer.json()["items"] == []
        else:
            refused(answer, 404, "not_found")


BAD_QUERIES = [
    *("limit=0", "limit=101", "limit=1e2", "limit=%00", "limit=١", "limit=99999999999999999999999", "limit=-1"),
    *(
        "status=paid%00",
        "status=PAID",
        "status[]=paid",
        "status='; SELECT 1",
        "created_since=2026",
        "created_until=now",
    ),
    *("created_since=2026-11-23T02:00:00", "created_since=0000-00-00T00:00:00Z", "created_since=2026-02-30T00:00:00Z"),
    *("created_since=-infinity", "created_since=10000-01-01T00:00:00Z", "account_id=%ff%fe", "account_id=" + "a" * 65),
]


@pytest.mark.parametrize("query", BAD_QUERIES)
async def test_a_bad_filter_is_refused(console: Console, query: str) -> None:
    """In the contract's words, never by the database."""
    if query.startswith("status[]"):
        # An unknown parameter is no filter; it filters nothing, and opens nothing.
        assert (await console.as_operations("GET", f"/v1/withdrawals?{query}")).status_code == 200
        return
    refused(await console.as_operations("GET", f"/v1/withdrawals?{query}"), 422, "invalid_request")


async def test_a_head_that_is_too_large_is_refused(console: Console) -> None:
    """32 KiB of path, query and headers together: 431, before anything of them is used."""
    async with console.nothing_changes():
        too_large: list[dict[str, Any]] = [
            {"headers": {"X-Filling": "x" * 33_000}},
            {"headers": {f"X-{number}": "x" * 100 for number in range(400)}},
            {"params": {"cursor": "A" * 33_000}},
        ]
        for more in too_large:
            refused(await console.as_customer("GET", "/v1/withdrawals", **more), 431, "headers_too_large")
    within: dict[str, Any] = {"headers": {"X-Filling": "x" * 20_000}}
    assert (await console.as_customer("GET", "/v1/withdrawals", **within)).status_code == 200


async def test_nothing_a_caller_sends_becomes_a_header_of_the_answer(console: Console) -> None:
    """Neither a key, nor a path, nor a request id of theirs; and the request id of the answer is ours."""
    evil = "a%0d%0aSet-Cookie:%20x=1"
    for path in (f"/v1/accounts/{evil}", f"/v1/withdrawals/{evil}", f"/v1/withdrawals?cursor={evil}", f"/{evil}"):
        answer = await console.as_customer("GET", path, headers={"X-Request-Id": "mine", "Origin": "https://evil.test"})
        assert answer.status_code in (404, 422)
        assert "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["x-request-id"] != "mine"
        assert len(answer.headers["x-request-id"]) == 32
    async with console.nothing_changes():
        for key in ("a\x85b", "a\xa0b", "ключ".encode().decode("latin-1"), "a\x7f"):
            headers = {name.encode(): value.encode() for name, value in console.bearer().items()}
            headers[b"Idempotency-Key"] = key.encode("latin-1")
            answer = await console.http.post("/v1/withdrawals", headers=headers, json=application())
            refused(answer, 422, "invalid_request")


DOUBLED = [
    b'{"code": "000000", "code": "111111"}',
    b'{"code": "000000", "\\u0063ode": "111111"}',
    b'{"a": {"b": 1, "b": 2}, "code": "000000"}',
    b'[{"x": 1, "x": 1}]',
]


@pytest.mark.parametrize("body", DOUBLED)
async def test_a_key_sent_twice_is_refused_at_every_depth(console: Console, body: bytes) -> None:
    """Also where one of the two is written with an escape."""
    withdrawal = await console.applied()
    headers = {"Content-Type": "application/json"}
    path = f"/v1/withdrawals/{withdrawal['id']}/verification"
    async with console.nothing_changes():
        answer = await console.as_customer("POST", path, content=body, headers=headers)
        problem = refused(answer, 422, "invalid_request")
        assert [error["code"] for error in problem["errors"]] == ["malformed_json"]


NO_CODES: list[Any] = [
    123456,
    123456.0,
    "１２３４５６",
    "12345\u0661",
    "123456\n",
    " 123456",
    "0x1E240",
    ["123456"],
    True,
    None,
]


async def test_what_is_no_code_uses_no_try_up(console: Console) -> None:
    """Numbers, other scripts' digits, lists: out of form, and so no guess."""
    withdrawal = await console.applied()
    async with console.nothing_changes():
        for code in NO_CODES:
            path = f"/v1/withdrawals/{withdrawal['id']}/verification"
            refused(await console.as_customer("POST", path, json={"code": code}), 422, "invalid_request")


async def test_every_answer_says_that_it_is_data(console: Console) -> None:
    """Answers and refusals alike: no sniffing, no framing, no cache, no referrer; and no word about the server."""
    answers = [
        await console.as_customer("GET", "/v1/accounts/acct_1001"),
        await console.apply(amount="-1"),
        await console.http.get("/v1/withdrawals"),
        await console.http.get("/healthz"),
        await console.http.get("/openapi.json"),
        await console.http.get("/nowhere"),
        await console.http.request("TRACE", "/v1/withdrawals"),
        await console.as_customer("POST", "/v1/withdrawals", content=b" " * 20_000),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers
    assert (await console.http.request("TRACE", "/v1/withdrawals")).status_code == 405
    over_tls = await console.http.get("https://api.test/healthz")
    assert over_tls.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


async def test_the_description_is_not_served_where_it_is_not_wanted() -> None:
    """In production `/openapi.json` is a path like any other that is not there."""
    paths = {getattr(route, "path", None) for route in build_app(serve_openapi=False).routes}
    assert paths.isdisjoint({"/openapi.json", "/docs", "/redoc"})


def test_a_deep_or_wide_body_is_read_in_no_time() -> None:
    """16 KiB of the worst there is: brackets, keys, numbers, escapes. None takes longer than its reading."""
    worst = [
        b"[" * BODY_LIMIT,
        b"[" * (BODY_LIMIT // 2) + b"]" * (BODY_LIMIT // 2),
        b'{"a":' * (BODY_LIMIT // 5),
        json.dumps(dict.fromkeys(map(str, range(1_200)))).encode(),
        b"9" * BODY_LIMIT,
        b"1e" + b"9" * (BODY_LIMIT - 2),
        b'"' + b"\\u0041" * (BODY_LIMIT // 6 - 1) + b'"',
    ]
    begun = time.perf_counter()
    for body in worst:
        try:
            read_json(body[:BODY_LIMIT])
        except ValueError:
            continue
    assert time.perf_counter() - begun < 1
