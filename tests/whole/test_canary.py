"""The canary: people with marked names, phones, cards and codes live through every path, and then nobody finds them.

Searched are the database, Temporal's file and API, every log, every metric and every error, in every form of
``traces.Marker``; only the bank and the SMS gateway know more. The search itself is searched for holes: what was
planted in each of these places has to be found by it.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from standardwebhooks import Webhook
from stdnum import luhn

from bank.client import _reason
from stack.local import LocalStack
from tests.whole.customers import Customer
from tests.whole.traces import Marker, Place, Places, traces
from tests.whole.waiting import at_once, until
from tests.whole.world import World

_CHANCE = random.SystemRandom()
_SYLLABLES = "鸢鹂鸮鹀鹟鹨鹩鹪鹮鹯鹱鹲鹳鹴"


def _digits(count: int) -> str:
    return "".join(_CHANCE.choices("123456789", k=count))


def _name() -> str:
    return "".join(_CHANCE.sample(_SYLLABLES, 5))


@dataclass
class Canaries:
    """People who share the beginning of their phones and cards, so that one look finds all of them."""

    world: World
    name: str = field(default_factory=_name)
    stranger: str = field(default_factory=_name)
    phones: str = field(default_factory=lambda: f"1{_CHANCE.choice('3589')}{_digits(7)}")
    cards: str = field(default_factory=lambda: f"62{_digits(13)}")
    codes: set[str] = field(default_factory=set)
    wrong_codes: list[str] = field(default_factory=lambda: [_digits(6) for _ in range(5)])
    people: list[Customer] = field(default_factory=list)
    withdrawals: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(11))

    def person(self, behaviour: str = "pay", cash: str = "1000.00") -> Customer:
        """One of them, whose card behaves as told."""
        number = next(self._numbers)
        account_id = f"canary_{_digits(9)}"
        begun = f"{self.cards}1{number}"
        customer = Customer(
            self.world.api,
            self.world.sandbox,
            self.world.bearer("withdrawals", f"user-of-{account_id}", account_id=account_id),
            account_id,
            f"{self.phones}{number}",
            begun + luhn.calc_check_digit(begun),
            self.name,
        )
        self.people.append(customer)
        self.world.set_card(customer, behaviour)
        registration = {
            "subject_type": "person",
            "subject_name": self.name,
            "verified": True,
            "phone": customer.phone,
            "suspended": False,
            "pay_as_you_use": False,
        }
        billing = self.world.bearer("billing", "billing")
        path = f"/v1/accounts/{account_id}"
        self.world.api.put(path, json=registration, headers=billing).raise_for_status()
        top_up = {"reference": "first", "amount": cash}
        self.world.api.post(f"{path}/top-ups", json=top_up, headers=billing).raise_for_status()
        return customer

    def verified(self, customer: Customer, amount: str = "500.00") -> str:
        """The id of their application, whose code was entered."""
        withdrawal_id = self.applied(customer, amount)
        answer = customer.enter(withdrawal_id, customer.code())
        assert answer.status_code == 200, answer.text
        return withdrawal_id

    def applied(self, customer: Customer, amount: str = "500.00") -> str:
        """The id of their application."""
        withdrawal_id = customer.applied(amount)
        self.withdrawals.append(withdrawal_id)
        return withdrawal_id

    def markers(self) -> list[Marker]:
        """What nobody may find. The codes are those that were sent, and the wrong ones that were tried."""
        sent = [message for customer in self.people for message in customer.messages() if message["code"]]
        self.codes |= {message["code"] for message in sent}
        # A code that never arrived is not in the inbox: the words before it give it away.
        wording = {message["text"].split(message["code"])[0] for message in sent}
        assert all(len(words) > 6 for words in wording), wording
        assert len(self.codes) >= len(self.people) - 2, "most of them were sent a code"
        return [
            Marker("a name", self.name),
            Marker("another's name", self.stranger),
            Marker("a phone", self.phones),
            *(Marker("an SMS", words) for words in wording),
            Marker("a card", self.cards),
            *(Marker("a code", code) for code in sorted(self.codes)),
            *(Marker("a wrong code", code) for code in self.wrong_codes),
        ]


# The paths.


def paid_and_the_like(canaries: Canaries, behaviour: str, status: str) -> None:
    """The bank pays, refuses, times out, or sends back."""
    customer = canaries.person(behaviour)
    customer.becomes(canaries.verified(customer), status, seconds=40)


def rejected(canaries: Canaries) -> None:
    """Finance says no through the codec server, after words that it says no to."""
    customer = canaries.person(cash="60000.00")
    withdrawal_id = canaries.verified(customer, "60000.00")
    odd = {"approver": f"{customer.phone} {canaries.name}", "decision": customer.card_number}
    run = ("--workflow-id", f"withdrawal-{withdrawal_id}", "--name", "decide")
    for word in (odd, {"approver": customer.phone, "decision": canaries.name}, customer.card_number):
        canaries.world.temporal(
            "workflow", "signal", *run, "--input", json.dumps(word), *canaries.world.codec("finance")
        )
    canaries.world.signal_decision(withdrawal_id, "reject", by="finance-1")
    customer.becomes(withdrawal_id, "rejected")


def cancelled(canaries: Canaries) -> None:
    """By the customer."""
    customer = canaries.person()
    withdrawal_id = canaries.applied(customer)
    assert customer.cancel(withdrawal_id).status_code == 200


def wrong_codes(canaries: Canaries) -> None:
    """Until there are no tries left."""
    customer = canaries.person()
    withdrawal_id = canaries.applied(customer)
    for code in canaries.wrong_codes:
        assert customer.enter(withdrawal_id, code).status_code in (409, 422)
    customer.becomes(withdrawal_id, "expired")


def of_another_name(canaries: Canaries) -> None:
    """A card in somebody else's name."""
    customer = replace(canaries.person(), name=canaries.stranger)
    assert customer.apply().json()["errors"][0]["code"] == "bank_account_name_mismatch"


def bad_input(canaries: Canaries) -> None:
    """The markers wherever they don't belong; each answer is a refusal."""
    customer = canaries.person()
    api, bearer, name = canaries.world.api, customer.bearer, canaries.name
    withdrawal_id = canaries.applied(customer)
    marked = f"{name} {customer.phone} {customer.card_number}"
    card = {"account_name": name, "bank_name": "b", "branch_name": "b", "card_number": customer.card_number}
    form: dict[str, Any] = {"account_id": customer.account_id, "amount": "1.00", "bank_card": card}
    keyed = bearer | {"Idempotency-Key": customer.card_number}
    forms: list[dict[str, Any]] = [
        form | {"amount": customer.card_number},
        form | {customer.phone: name},
        form | {"account_id": customer.card_number},
        form | {"bank_card": marked},
        form | {"bank_card": card | {"card_number": f"{customer.card_number}x"}},
        form | {"bank_card": card | {"account_name": name * 100}},
        form | {"bank_card": card | {"account_name": f"\u202e{name}"}},
        form | {"bank_card": card | {"branch_name": f"\u0000{marked}"}},
    ]
    answers = [api.post("/v1/withdrawals", json=one, headers=keyed) for one in forms]
    entry = f"/v1/withdrawals/{withdrawal_id}/verification"
    query = {"status": marked, "cursor": customer.card_number, "account_id": customer.phone}
    hook = Webhook(canaries.world.stack.state.webhook_secret())
    now = datetime.now(UTC)
    news = json.dumps({"type": marked, "data": {"client_ref": customer.card_number, "payee_name": name}})
    signed = {
        "webhook-id": f"msg_{_digits(9)}",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": hook.sign("msg_x", now, news),
    }
    billing = canaries.world.bearer("billing", "billing")
    answers += [
        api.post("/v1/withdrawals", content=f'{{"{marked}": '.encode(), headers=keyed),
        api.post(entry, json={"code": customer.card_number}, headers=bearer),
        api.post(entry, json={"code": customer.phone}, headers=bearer),
        api.get(f"/v1/accounts/{customer.phone}", headers=bearer),
        api.get(f"/v1/withdrawals/{customer.card_number}", headers=bearer),
        api.get("/v1/withdrawals", params=query, headers=bearer),
        api.get(f"/{customer.card_number}", headers=bearer),
        api.get("/v1/withdrawals", headers={"Authorization": f"Bearer {customer.card_number}"}),
        api.post("/v1/bank-notifications", content=news.encode(), headers=signed),
        api.put(f"/v1/accounts/{customer.account_id}", json={"phone": marked, name: 1}, headers=billing),
    ]
    assert [answer.status_code for answer in answers if not 400 <= answer.status_code < 500] == []


def without_sms(canaries: Canaries) -> None:
    """The gateway is away when the code is to be sent; the customer is told to wait, and asks for another one."""
    canaries.world.turn(sms_unavailable=True)
    customer = canaries.person()
    applying = customer.apply()
    assert applying.status_code == 202, applying.text
    canaries.withdrawals.append(applying.json()["id"])
    canaries.world.turn(sms_unavailable=False)
    assert customer.enter(applying.json()["id"], customer.code()).status_code == 200


def go_every_way(canaries: Canaries) -> None:
    """All paths, side by side; the one without SMS alone, as it concerns everybody."""
    without_sms(canaries)
    ways: list[Callable[[], None]] = [
        partial(paid_and_the_like, canaries, behaviour, status)
        for behaviour, status in (
            ("pay", "paid"),
            ("reject", "failed"),
            ("accept_then_fail", "failed"),
            ("pay_then_return", "returned"),
            ("time_out_after_booking", "paid"),
            ("unavailable:2", "paid"),
        )
    ]
    paths = (rejected, cancelled, wrong_codes, of_another_name, bad_input)
    ways += [partial(path, canaries) for path in paths]
    at_once(*ways)


# What is planted, to see that the search would find it.

PLANTED = Marker("what was planted", f"鹦鹉{_digits(12)}")


@contextmanager
def planted(world: World, places: Places) -> Iterator[str]:
    """In a table, in clear in a run's input and memo, and in a log; yields the run's id."""
    run = f"planted-{_digits(6)}"
    with places.superuser() as connection:
        connection.execute("CREATE TABLE planted (words text, bytes bytea)")
        connection.execute("INSERT INTO planted VALUES (%s, %s)", (PLANTED.text, PLANTED.text.encode()))
    with (world.stack.state.logs / "api.log").open("a") as log:
        log.write(json.dumps({"event": PLANTED.text}) + "\n")
    start = ("workflow", "start", "--workflow-id", run, "--type", "planted", "--task-queue", "nowhere")
    words = json.dumps(PLANTED.text, ensure_ascii=False)
    world.temporal(*start, "--input", words, "--memo", f"planted={words}")
    try:
        yield run
    finally:
        world.temporal("workflow", "terminate", "--workflow-id", run, "--reason", "planted")
        with places.superuser() as connection:
            connection.execute("DROP TABLE planted")


@pytest.fixture
def answers() -> list[Place]:
    """What callers were answered."""
    return []


@pytest.fixture
def listening(world: World, stack: LocalStack, answers: list[Place]) -> Iterator[World]:
    """The world, with every answer of the API kept."""

    def keep(response: httpx.Response) -> None:
        content = response.read() + str(response.headers.raw).encode()
        answers.append((f"an answer {response.status_code} of {response.request.url.path}", content))

    with httpx.Client(base_url=stack.api_url, trust_env=False, timeout=40, event_hooks={"response": [keep]}) as api:
        yield World(stack, api, world.sandbox)


def test_nobodys_data_is_found_anywhere(listening: World, answers: list[Place]) -> None:
    """Through success and every failure; and what was planted is found in each kind of place."""
    world = listening
    places = Places(world.stack, world.bearer("operations", "operator"))
    canaries = Canaries(world)
    with planted(world, places) as planted_run:
        go_every_way(canaries)
        _settled(canaries)
        runs = [f"withdrawal-{one}" for one in canaries.withdrawals]
        searched = list(places.everywhere([*runs, planted_run]))
    markers = canaries.markers()
    # The name on the card is its owner's to see; nothing else is, and in a refusal not even that.
    refusals = [(place, content) for place, content in answers if place.startswith(("an answer 4", "an answer 5"))]
    assert len(refusals) > 20
    secrets = [marker for marker in markers if "name" not in marker.what]
    found = traces(markers, searched + refusals) + traces(secrets, answers)
    assert found == [], "\n".join(found)
    _the_search_is_no_blind_one(searched, canaries, planted_run)


def _settled(canaries: Canaries) -> None:
    """Every withdrawal has come to its end, and a sweep has run since."""
    finance = canaries.world.bearer("finance", "auditor")

    def over() -> bool:
        read = [
            canaries.world.api.get(f"/v1/withdrawals/{one}", headers=finance).json() for one in canaries.withdrawals
        ]
        return sum(one["status"] in ("awaiting_verification", "processing") for one in read) <= 1

    until(over, "all of them over")  # The one of the bad input still waits for its code.
    time.sleep(0.5)


def _the_search_is_no_blind_one(searched: list[Place], canaries: Canaries, planted_run: str) -> None:
    found = traces([PLANTED], searched)
    for place, form in (
        ("the database's dump", "UTF-8"),
        ("the database's dump", "hex"),
        ("the tables' files", "UTF-8"),
        ("the log of changes", "UTF-8"),
        ("Temporal's database", "UTF-8"),
        ("the log api.log", "JSON"),
        (f"Temporal's API for {planted_run}", "base64"),
        (f"Temporal's API for {planted_run}, opened", "UTF-8"),
        ("the list of runs", "base64"),
    ):
        assert any(f"in {place}" in one and f"as {form}" in one for one in found), (place, form, found)
    # What is not secret is there, in every place that nothing could be planted in.
    for place, witness in (
        ("the metrics at", b"payload"),
        (f"Temporal's API for withdrawal-{canaries.withdrawals[0]}, opened", canaries.withdrawals[0].encode()),
        ("the schedules", b"reconciliation"),
        ("the log worker.log", b"worker.started"),
    ):
        assert any(place in where and witness in content for where, content in searched), place
    assert sum(where.startswith("the metrics at") for where, _ in searched) == 4


@pytest.mark.parametrize("before", ["", "x", "xy", '{"a": "'])
@pytest.mark.parametrize("marker", [PLANTED, Marker("a phone", "138123456"), Marker("a card", "623058123456789")])
def test_the_search_knows_every_form(marker: Marker, before: str) -> None:
    """Wherever in a text the marker stands, and however that text is encoded."""
    for encoded in _every_way(f'{before}{marker.text}" and more'):
        assert marker.seen_in(encoded), encoded
    for encoded in _every_way(f'{before}{marker.text[:-1]}" and more'):
        assert marker.seen_in(encoded) == []


@pytest.mark.parametrize("before", ["", '{"a": "', "a b", "用"])
def test_a_code_is_found_where_it_stands_alone(before: str) -> None:
    """And not in the microseconds of a time, or in the middle of a number."""
    code = Marker("a code", "482913")
    *encodings, in_url = _every_way(f'{before} 482913" and more')
    assert all(code.seen_in(encoded) for encoded in encodings)
    assert not code.seen_in(in_url)  # A number to its left, as far as one can see.
    for other in ("2026-11-25 14:45:57.482913+00", "01a2482913ff", "14829131"):
        assert code.seen_in(other.encode()) == []


def _every_way(text: str) -> list[bytes]:
    plain = text.encode()
    return [
        plain,
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        plain.hex().encode(),
        plain.hex().upper().encode(),
        base64.b64encode(plain),
        base64.urlsafe_b64encode(plain),
        json.dumps(text).encode(),
        quote(text).encode(),
    ]


@pytest.mark.parametrize(
    "odd", ["CARD_6230580000000000018_CLOSED", "13800001234", "6230-5800-0000-0000-018", "户名不符 张三"]
)
def test_what_may_name_somebody_is_left_with_the_bank(odd: str) -> None:
    """A reason with a phone or a card in it, in whatever way it is written; a code of the bank's is kept."""
    assert _reason(odd) is None
    for usual in ("account_closed", "E0042", "RJ-2026-001", None):
        assert _reason(usual) == usual
