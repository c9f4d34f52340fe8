"""Every row of "What bad input gets" (product.md), each with the proof that nothing changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import create_engine, text

from domain.withdrawal import BankAnswer, TransferState
from tests import databases
from tests.api.clock import ManualClock
from tests.api.console import Console, application, codes, fields, refused
from tests.api.played_engine import PlayedEngine

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


async def test_no_idempotency_key_is_refused(console: Console) -> None:
    """400, whatever else is wrong with the application."""
    async with console.nothing_changes():
        for body in (application(), {}):
            answer = await console.as_customer("POST", "/v1/withdrawals", json=body)
            refused(answer, 400, "idempotency_key_missing")


async def test_the_same_key_with_another_body_is_refused(console: Console) -> None:
    """The key stands for what it was first sent with."""
    await console.applied(key="k")
    async with console.nothing_changes():
        refused(await console.apply(key="k", amount="500.01"), 422, "idempotency_key_reused")
        refused(await console.apply(key="k", **card(branch_name="北京分行")), 422, "idempotency_key_reused")


async def test_the_same_key_while_the_first_is_being_answered_is_refused(
    console: Console, engine: PlayedEngine
) -> None:
    """409 and when to come again."""
    early: list[httpx.Response] = []

    async def repeat() -> None:
        engine.before_open = None
        async with console.nothing_changes():
            early.append(await console.apply(key="k"))

    engine.before_open = repeat
    assert (await console.apply(key="k")).status_code == 201
    refused(early[0], 409, "idempotency_key_in_use")
    assert early[0].headers["retry-after"] == "1"


async def test_the_rules_say_no_with_every_reason_at_once(console: Console) -> None:
    """Amount, verification, suspension, phone and name in one answer, and how to withdraw everything."""
    await console.open_account(
        "acct_1001", verified=False, suspended=True, phone=None, name="李四", pay_as_you_use=True
    )
    async with console.nothing_changes():
        problem = refused(await console.apply(amount="1200.00"), 422, "not_eligible")
    assert sorted(codes(problem)) == [
        "account_suspended",
        "amount_exceeds_withdrawable",
        "bank_account_name_mismatch",
        "phone_missing",
        "subject_not_verified",
    ]
    too_much = next(e for e in problem["errors"] if e["code"] == "amount_exceeds_withdrawable")
    assert "1080.00" in too_much["message"]
    assert "stop using those products" in too_much["message"]


async def test_arrears_say_no(console: Console) -> None:
    """An account below zero is to be topped up first."""
    await console.book("acct_1001", "charges", "1300.00")
    async with console.nothing_changes():
        problem = refused(await console.apply(), 422, "not_eligible")
    assert sorted(codes(problem)) == ["account_in_arrears", "amount_exceeds_withdrawable"]


async def test_a_second_withdrawal_in_the_month_says_no(console: Console, engine: PlayedEngine) -> None:
    """Once a calendar month, after the first was paid."""
    paid = await console.verified()
    engine.bank_says(UUID(paid["id"]), BankAnswer(TransferState.SUCCEEDED, "B1"))
    async with console.nothing_changes():
        problem = refused(await console.apply(amount="10.00"), 422, "not_eligible")
    assert codes(problem) == ["already_withdrawn_this_month"]
    assert (await console.account())["next_eligible_on"] == "2026-12-01"


async def test_another_open_application_is_in_progress(console: Console) -> None:
    """409 with the id of the open one, whichever status it waits in."""
    first = await console.applied()
    for _ in ("before the code", "after it"):
        async with console.nothing_changes():
            problem = refused(await console.apply(amount="10.00"), 409, "withdrawal_in_progress")
        assert problem["withdrawal_id"] == first["id"]
        await console.verify(first)


async def test_rules_that_no_longer_hold_at_the_freeze_fail_the_withdrawal(console: Console) -> None:
    """The code is right, the money is gone: not eligible, failed with the reason, and nothing frozen."""
    withdrawal = await console.applied()
    await console.book("acct_1001", "charges", "1200.00")
    problem = refused(await console.verify(withdrawal), 422, "not_eligible")
    assert codes(problem) == ["amount_exceeds_withdrawable"]
    failed = await console.read(withdrawal)
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "amount_exceeds_withdrawable")
    assert (await console.account())["frozen"] == "0.00"
    console.holds()


async def test_a_wrong_code_says_how_many_tries_are_left(console: Console, engine: PlayedEngine) -> None:
    """Four, three, two, one, none; after the fifth it is expired, the run is told, and the month is free again."""
    withdrawal = await console.applied()
    wrong = console.wrong_code(withdrawal)
    for left in (4, 3, 2, 1, 0):
        assert refused(await console.verify(withdrawal, wrong), 422, "wrong_code")["attempts_left"] == left
    assert engine.heard[1:] == [("look", UUID(withdrawal["id"]))]
    async with console.nothing_changes():
        refused(await console.verify(withdrawal), 409, "code_expired")
    assert (await console.read(withdrawal))["status"] == "expired"
    assert (await console.account())["next_eligible_on"] is None
    console.holds()


async def test_a_fifth_wrong_code_counts_while_the_engine_is_away(console: Console, engine: PlayedEngine) -> None:
    """Nobody gets more guesses for lack of Temporal."""
    withdrawal = await console.applied()
    wrong = console.wrong_code(withdrawal)
    engine.away = True
    for left in (4, 3, 2, 1, 0):
        assert refused(await console.verify(withdrawal, wrong), 422, "wrong_code")["attempts_left"] == left


async def test_a_code_that_is_not_six_digits_uses_no_try_up(console: Console) -> None:
    """A typing error is not a guess."""
    path = f"/v1/withdrawals/{(await console.applied())['id']}/verification"
    async with console.nothing_changes():
        for code in ("12345", "1234567", "12345a", "１２３４５６", " 123456", "123456\n", "", 123456, None):
            answer = await console.as_customer("POST", path, json={"code": code})
            assert fields(refused(answer, 422, "invalid_request")) == ["code"], code


async def test_a_code_over_its_time_is_expired(console: Console, clock: ManualClock) -> None:
    """Ten minutes, to the second; then neither the code nor another one helps."""
    withdrawal = await console.applied()
    clock.move_on(timedelta(minutes=10))
    async with console.nothing_changes():
        refused(await console.verify(withdrawal), 409, "code_expired")
        path = f"/v1/withdrawals/{withdrawal['id']}/verification/resend"
        refused(await console.as_customer("POST", path), 409, "code_expired")


async def test_a_resend_too_soon_says_when(console: Console, clock: ManualClock) -> None:
    """60 seconds between two, five altogether."""
    withdrawal = await console.applied()
    path = f"/v1/withdrawals/{withdrawal['id']}/verification/resend"
    clock.move_on(timedelta(seconds=20))
    async with console.nothing_changes():
        early = await console.as_customer("POST", path)
        refused(early, 429, "too_many_requests")
    assert early.headers["retry-after"] == "40"
    for _ in range(4):
        clock.move_on(timedelta(seconds=60))
        assert (await console.as_customer("POST", path)).status_code == 202
    clock.move_on(timedelta(seconds=60))
    async with console.nothing_changes():
        refused(await console.as_customer("POST", path), 429, "too_many_requests")


async def test_what_the_status_does_not_allow_says_which_it_is(console: Console, engine: PlayedEngine) -> None:
    """Cancelling after the bank was asked, deciding what waits for nobody, resolving what is not under review."""
    withdrawal = await console.verified()
    path = f"/v1/withdrawals/{withdrawal['id']}"
    decision, resolution = {"decision": "approve"}, {"outcome": "paid", "evidence": "statement 7"}
    async with console.nothing_changes():
        for answer in (
            await console.as_customer("POST", f"{path}/cancel"),
            await console.as_customer("POST", f"{path}/verification/resend"),
            await console.as_finance("POST", f"{path}/decision", json=decision),
            await console.as_finance("POST", f"{path}/resolution", json=resolution),
        ):
            assert refused(answer, 409, "not_possible_now")["withdrawal_status"] == "processing"


async def test_a_final_withdrawal_never_starts_a_run(console: Console, engine: PlayedEngine) -> None:
    """Whatever is asked of it, PostgreSQL is asked first, and Temporal not at all."""
    withdrawal = await console.applied()
    path = f"/v1/withdrawals/{withdrawal['id']}"
    assert (await console.as_customer("POST", f"{path}/cancel")).json()["status"] == "cancelled"
    engine.heard.clear()
    async with console.nothing_changes():
        for answer in (
            await console.as_customer("POST", f"{path}/cancel"),
            await console.as_customer("POST", f"{path}/verification", json={"code": console.code(withdrawal)}),
            await console.as_customer("POST", f"{path}/verification/resend"),
            await console.as_finance("POST", f"{path}/decision", json={"decision": "reject"}),
            await console.as_finance("POST", f"{path}/resolution", json={"outcome": "failed", "evidence": "x"}),
        ):
            assert refused(answer, 409, "not_possible_now")["withdrawal_status"] == "cancelled"
    assert engine.heard == []


async def test_deciding_twice_or_on_ones_own_violates_four_eyes(console: Console) -> None:
    """The applicant is no approver, and nobody counts twice."""
    withdrawal = await console.verified(of="acct_2002", amount="500000.00")
    path = f"/v1/withdrawals/{withdrawal['id']}/decision"
    approve = {"decision": "approve", "note": "checked"}
    async with console.nothing_changes():
        own = await console.as_finance("POST", path, who="customer-of-acct_2002", json=approve)
        refused(own, 403, "four_eyes_violated")
    assert (await console.as_finance("POST", path, who="fin-1", json=approve)).status_code == 200
    async with console.nothing_changes():
        refused(await console.as_finance("POST", path, who="fin-1", json=approve), 403, "four_eyes_violated")
    assert (await console.as_finance("POST", path, who="fin-2", json=approve)).json()["status"] == "processing"
    async with console.nothing_changes():
        refused(await console.as_finance("POST", path, who="fin-3", json=approve), 409, "not_possible_now")


async def test_without_the_engine_calls_are_to_be_made_again(console: Console, engine: PlayedEngine) -> None:
    """503 and when to come again; nothing is lost: the same call then goes through."""
    withdrawal = await console.applied()
    engine.away = True
    path = f"/v1/withdrawals/{withdrawal['id']}"
    async with console.nothing_changes():
        for call in ("verification/resend", "cancel"):
            answer = await console.as_customer("POST", f"{path}/{call}")
            refused(answer, 503, "temporarily_unavailable")
            assert int(answer.headers["retry-after"]) > 0
        assert (await console.as_customer("GET", path)).status_code == 200
        assert (await console.as_customer("GET", "/v1/accounts/acct_1001")).status_code == 200
    refused(await console.verify(withdrawal), 503, "temporarily_unavailable")
    engine.away = False
    assert (await console.verify(withdrawal)).json()["status"] == "processing"
    console.holds()


async def test_without_the_database_calls_are_to_be_made_again(console: Console, database: databases.Database) -> None:
    """503, from reads as well as writes, and nothing of the driver's words gets out."""
    owner = create_engine(database.owner_url.replace(f"/{database.name}", "/postgres"), isolation_level="AUTOCOMMIT")

    def admit(new_connections: bool) -> None:
        with owner.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS {new_connections}"))

    before = console.rows()
    console.database.close()
    admit(new_connections=False)
    try:
        for answer in (
            await console.apply(),
            await console.as_customer("GET", "/v1/accounts/acct_1001"),
            await console.as_customer("GET", "/v1/withdrawals"),
        ):
            refused(answer, 503, "temporarily_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert "psycopg" not in answer.text
    finally:
        admit(new_connections=True)
        owner.dispose()
    assert console.rows() == before
    assert (await console.apply()).status_code == 201


async def test_our_own_fault_leaks_nothing(console: Console, engine: PlayedEngine) -> None:
    """An unexpected error is a 500 with an id for the log, and not a word of what it was."""

    async def break_down() -> None:
        raise RuntimeError("secret of the house: 6230580000000000013")

    engine.before_open = break_down
    answer = await console.apply()
    refused(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
    console.holds()
