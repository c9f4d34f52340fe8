"""What bad input gets (product.md), the rows about form: what is sent cannot be understood, or is too much."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from tests.api.console import Console, application, codes, fields, refused

CARD = application()["bank_card"]


def card(**changed: Any) -> dict[str, Any]:
    """An application with a spoiled card."""
    return {"bank_card": {name: value for name, value in (CARD | changed).items() if value is not ...}}


async def post_raw(console: Console, body: bytes, content_type: str = "application/json") -> httpx.Response:
    """Bytes as they are."""
    headers = {"Idempotency-Key": "raw", "Content-Type": content_type}
    return await console.as_customer("POST", "/v1/withdrawals", content=body, headers=headers)


GOOD = json.dumps(application()).encode()


MALFORMED = [
    b"{",
    GOOD[:-1] + b',"amount":"1.00"}',
    GOOD.replace(b'"500.00"', b"NaN"),
    GOOD.replace(b'"500.00"', b"-Infinity"),
    GOOD.replace(b'"500.00"', b"9" * 5000),
    GOOD.replace(b"acct_1001", b"acct\\u0000"),
    GOOD.replace(b"acct_1001", b"\\ud800"),
    GOOD.replace(b"acct_1001", b"\xff"),
    GOOD.decode().encode("utf-16"),
    b"\xef\xbb\xbf" + GOOD,
    b"[" * 8000 + b"]" * 8000,
    b'{"a":' * 30 + b"1" + b"}" * 30,
]


async def test_malformed_json_is_invalid(console: Console) -> None:
    """Cut off, doubled keys, no numbers, no text, too deep: refused in the contract's words, never with a 500."""
    async with console.nothing_changes():
        for body in MALFORMED:
            problem = refused(await post_raw(console, body), 422, "invalid_request")
            assert codes(problem) == ["malformed_json"], body[:80]


async def test_json_that_is_no_object_is_invalid(console: Console) -> None:
    """Nothing, null, a list, a text."""
    async with console.nothing_changes():
        for body in (b"", b"null", b"[]", b'"text"', b"1"):
            refused(await post_raw(console, body), 422, "invalid_request")


async def test_a_body_that_says_it_is_not_json_is_invalid(console: Console) -> None:
    """Not even if it looks like JSON: what browsers send across sites without asking is never read."""
    async with console.nothing_changes():
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "garbage", ""):
            refused(await post_raw(console, GOOD, content_type), 422, "invalid_request")


MISSHAPEN: list[tuple[dict[str, Any], str]] = [
    ({"note": "x"}, "note"),
    (card(cvv="123"), "bank_card.cvv"),
    (card(bank_name=...), "bank_card.bank_name"),
    ({"account_id": "acct 1001"}, "account_id"),
    ({"account_id": "a" * 65}, "account_id"),
    ({"account_id": "acct_1001\n"}, "account_id"),
    ({"account_id": ""}, "account_id"),
    ({"bank_card": "6230580000000000013"}, "bank_card"),
    ({"bank_card": None}, "bank_card"),
]


async def test_a_body_of_another_shape_is_invalid(console: Console) -> None:
    """Unknown, missing and misshapen fields are named by their path."""
    async with console.nothing_changes():
        for changed, field in MISSHAPEN:
            problem = refused(await console.apply(**changed), 422, "invalid_request")
            assert fields(problem) == [field]


BAD_AMOUNTS: list[object] = [
    *("0", "0.00", "-5.00", "+5.00", "1e3", "1,000.00", "5.", ".50", "05.00", "5.001", "5,00", " 5.00", "5.00 "),
    *("5.00\n", "", "NaN", "Infinity", "0x10", "１００.00", "٥.00", "500.00元", "1000000000000.00", "1_000"),
    *(500, 500.0, True, None, ["500.00"], {"yuan": "500.00"}),
]


async def test_a_bad_amount_is_invalid(console: Console) -> None:
    """Money is a JSON string of yuan with at most two decimals, more than zero; nothing is guessed at."""
    async with console.nothing_changes():
        for amount in BAD_AMOUNTS:
            problem = refused(await console.apply(amount=amount), 422, "invalid_request")
            assert fields(problem) == ["amount"], amount


BAD_NAMES: list[object] = [
    *("", "   ", "张" * 101, "张\u202e三", "张\u200b三", "张\u0007三", "张\n三", "张\t三", "\u2066张三\u2069"),
    *("张\u2028三", "张\ue000三", "张\u0378三", "\u00ad张三", 5, None),
]


async def test_a_name_that_is_too_long_or_not_all_visible_is_invalid(console: Console) -> None:
    """Over-long names, control characters and bidi marks are refused in every name, and not sent back."""
    async with console.nothing_changes():
        for field in ("account_name", "bank_name", "branch_name"):
            for name in BAD_NAMES:
                answer = await console.apply(**card(**{field: name}))
                assert fields(refused(answer, 422, "invalid_request")) == [f"bank_card.{field}"], name
                assert "张" not in answer.text


BAD_CARD_NUMBERS: list[object] = [
    *("62305800000", "62305800000000000130", "6230 5800 0000 0000 013", "623058000000000001X"),
    *("６２３０５８０００００００００００１３", 6230580000000000013),
]


async def test_a_card_number_that_is_not_12_to_19_digits_is_invalid(console: Console) -> None:
    """ASCII digits only, no spaces; and the number is never sent back."""
    async with console.nothing_changes():
        for number in BAD_CARD_NUMBERS:
            answer = await console.apply(**card(card_number=number))
            assert fields(refused(answer, 422, "invalid_request")) == ["bank_card.card_number"], number
            assert str(number) not in answer.text


async def test_a_persons_card_that_fails_luhn_is_invalid_and_a_companys_is_not(console: Console) -> None:
    """A person's card carries a check digit; a company's account number need not."""
    mistyped = "6230580000000000018"
    async with console.nothing_changes():
        problem = refused(await console.apply(**card(card_number=mistyped)), 422, "invalid_request")
    assert fields(problem) == ["bank_card.card_number"]
    company = application("acct_2002")["bank_card"] | {"card_number": mistyped}
    assert (await console.apply(of="acct_2002", bank_card=company)).status_code == 201


async def test_every_bad_field_is_named_at_once(console: Console) -> None:
    """One answer is enough to mend a form."""
    async with console.nothing_changes():
        answer = await console.apply(amount="-1", extra=1, **card(bank_name="", card_number="x"))
    assert fields(refused(answer, 422, "invalid_request")) == [
        "amount",
        "bank_card.bank_name",
        "bank_card.card_number",
        "extra",
    ]


async def test_an_unknown_field_with_a_hostile_name_is_not_repeated(console: Console) -> None:
    """The answer names fields of ours, and repeats nothing that could play tricks where it is shown."""
    answer = await console.apply(**cast(Any, {"<script>\u202e": "evil"}))
    problem = refused(answer, 422, "invalid_request")
    assert problem["errors"] == [{"code": "unknown_field", "message": "There is no such field."}]


async def test_a_bad_idempotency_key_is_invalid(console: Console) -> None:
    """1 to 128 visible ASCII characters."""
    async with console.nothing_changes():
        for key in ("a" * 129, "two words", "tab\tkey"):
            problem = refused(await console.apply(key=key), 422, "invalid_request")
            assert fields(problem) == ["Idempotency-Key"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused(console: Console, chunked: bool) -> None:
    """More than 16 KiB is refused, whether its length was announced or not."""
    body = GOOD + b" " * (16 * 1024 + 1 - len(GOOD))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    async with console.nothing_changes():
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
        answer = await console.as_customer(
            "POST", "/v1/withdrawals", content=chunks() if chunked else body, headers=headers
        )
        refused(answer, 413, "body_too_large")
    taken = await console.as_customer("POST", "/v1/withdrawals", content=body[:-1], headers=headers)
    assert taken.status_code == 201


async def test_a_body_too_large_is_refused_even_where_none_is_read(console: Console) -> None:
    """The limit holds for every call."""
    withdrawal = await console.applied()
    path = f"/v1/withdrawals/{withdrawal['id']}/cancel"
    refused(await console.as_customer("POST", path, content=b" " * 20_000), 413, "body_too_large")
    assert (await console.read(withdrawal))["status"] == "awaiting_verification"
