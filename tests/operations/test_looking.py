"""What a look at all of them asks the bank, and what it makes of the answers; Temporal is away in these stories."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from uuid import UUID

import pytest
from temporalio.client import Client

from bank.client import BankInDoubt, Changes
from domain.bank_card import BankCard
from domain.statement import StatementEntry
from domain.withdrawal import BankAnswer, Status
from ledger.cases import Cases
from operations.answers import NotUsable
from operations.looking import Looking
from operations.runs import Runs
from tests.ledger.stories import ACCEPTED, SUCCEEDED, Ledger, Stories

AWAY = "Temporal is away (nothing answers at its address): of the runs nothing was seen"


@dataclass
class Answering:
    """A bank that says the same of everything, and remembers what it was asked about."""

    answer: BankAnswer | BankInDoubt | None
    before_it_answers: Callable[[UUID], object] = lambda _: None
    asked: list[UUID] = field(default_factory=list)

    async def query(self, client_ref: UUID) -> BankAnswer | None:
        self.asked.append(client_ref)
        self.before_it_answers(client_ref)
        if isinstance(self.answer, BankInDoubt):
            raise self.answer
        return self.answer

    async def submit(self, client_ref: UUID, amount_fen: int, card: BankCard) -> BankAnswer:
        raise AssertionError("a look moves no money")

    async def changes(self, cursor: str) -> Changes:
        raise AssertionError("that is the sweep's")

    async def statement(self, day: date) -> list[StatementEntry]:
        raise AssertionError("that is the sweep's")


@pytest.fixture
async def looking(ledger: Ledger) -> AsyncIterator[Looking]:
    """With nobody at Temporal's address."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        client = await Client.connect(f"127.0.0.1:{nobody.getsockname()[1]}", lazy=True)
        yield Looking(Cases(ledger.database), Runs(client, "nowhere"), Answering(ACCEPTED))


def at_the_bank(ledger: Ledger, stories: Stories) -> UUID:
    """The id of a withdrawal that the bank has taken."""
    withdrawal_id = stories.bring_to(Status.PROCESSING)
    ledger.transfers.prepare(withdrawal_id, now=stories.now)
    ledger.transfers.record_answer(withdrawal_id, ACCEPTED, now=stories.now)
    return withdrawal_id


async def test_the_bank_is_asked_about_those_it_has_and_the_oldest_come_first(
    looking: Looking, ledger: Ledger, stories: Stories
) -> None:
    """How many are left out is said, and is no problem by itself."""
    stories.bring_to(Status.PROCESSING)
    ids = []
    for _ in range(3):
        ids.append(at_the_bank(ledger, stories))
        stories.pass_time(minutes=1)
    bank = Answering(ACCEPTED)
    answer = await replace(looking, bank=bank, questions=2).stuck(now=stories.now)
    assert bank.asked == ids[:2]
    assert answer.problems == [AWAY]
    assert "the bank was not asked about the other 1: the oldest come first" in answer.lines
    assert (answer.content["bank_asked_about"], answer.content["bank_not_asked_about"]) == (2, 1)
    answer = await replace(looking, bank=bank, questions=3).stuck(now=stories.now)
    assert answer.content["bank_not_asked_about"] == 0
    assert answer.lines == []


async def test_an_outcome_that_our_rows_lack_is_news(looking: Looking, ledger: Ledger, stories: Stories) -> None:
    """Beside what is wrong by the rows."""
    withdrawal_id = at_the_bank(ledger, stories)
    late = stories.now + timedelta(days=60)
    answer = await replace(looking, bank=Answering(SUCCEEDED)).stuck(now=late)
    [item] = answer.content["items"]
    assert item["id"] == withdrawal_id
    assert item["why"] == (
        "the window is over, and finance was not asked yet;"
        " the bank says succeeded, and our rows say accepted: nudge it"
    )


async def test_a_notification_that_was_only_on_its_way_is_no_news(
    looking: Looking, ledger: Ledger, stories: Stories
) -> None:
    """It came between the rows and the question."""
    at_the_bank(ledger, stories)
    bank = Answering(SUCCEEDED, lambda one: ledger.transfers.record_answer(one, SUCCEEDED, now=stories.now))
    answer = await replace(looking, bank=bank).stuck(now=stories.now)
    assert len(bank.asked) == 1
    assert answer.content["items"] == []


async def test_a_transfer_the_bank_does_not_know_is_named_unless_it_is_new(
    looking: Looking, ledger: Ledger, stories: Stories
) -> None:
    """It may be about to be submitted."""
    at_the_bank(ledger, stories)
    unknowing = replace(looking, bank=Answering(None))
    assert (await unknowing.stuck(now=stories.now + timedelta(seconds=15))).content["items"] == []
    [item] = (await unknowing.stuck(now=stories.now + timedelta(seconds=16))).content["items"]
    assert item["why"] == "the bank does not know the transfer"


async def test_a_bank_that_is_away_is_said_once(looking: Looking, ledger: Ledger, stories: Stories) -> None:
    """And nobody is stuck because of it."""
    for _ in range(2):
        at_the_bank(ledger, stories)
    answer = await replace(looking, bank=Answering(BankInDoubt("no answer"))).stuck(now=stories.now)
    assert answer.content["items"] == []
    assert answer.problems == [AWAY, "the bank is away: no answer (2 of 2 questions were not answered)"]


async def test_an_accounts_withdrawals_come_newest_first_those_that_are_over_included(
    looking: Looking, stories: Stories
) -> None:
    """Of nobody else's account."""
    account_id = stories.open_account()
    first = stories.bring_to(Status.EXPIRED, account_id)
    stories.pass_time(hours=1)
    second = stories.bring_to(Status.AWAITING_VERIFICATION, account_id)
    stories.bring_to(Status.PROCESSING)
    items = (await looking.of(account_id, now=stories.now)).content["items"]
    assert [(item["id"], item["waits_for"].partition(",")[0]) for item in items] == [
        (second, "the SMS gateway"),
        (first, "nothing: it is over"),
    ]
    with pytest.raises(NotUsable, match="there is no account acct_9999"):
        await looking.of("acct_9999", now=stories.now)
