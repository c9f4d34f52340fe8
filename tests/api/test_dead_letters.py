"""What the console's backend was not told, as operators see it and send it again."""

from __future__ import annotations

import json
from datetime import timedelta

from ledger.database import Database
from ledger.outbox import GIVE_UP_AFTER, Outbox
from tests.api.clock import ManualClock
from tests.api.console import Console, refused
from tests.api.test_operations import metric
from webhooks.payload import body_of


async def test_a_dead_letter_is_listed_with_its_reason_until_it_is_sent_again(
    console: Console, ledger_database: Database, clock: ManualClock
) -> None:
    """By its number or all at once; what is no dead letter is not found."""
    withdrawal = await console.applied()
    outbox = Outbox(ledger_database)
    much_later = clock() + GIVE_UP_AFTER
    given_up = outbox.claim(10, now=clock())
    for message in given_up:
        assert outbox.not_delivered(message, "HTTP 500", now=much_later)
    assert await metric(console.http, "withdrawals_outbox_dead_letters") == len(given_up) == 1
    [letter] = (await console.as_operations("GET", "/v1/dead-letters")).json()["items"]
    assert (letter["withdrawal_id"], letter["kind"], letter["trouble"]) == (withdrawal["id"], "applied", "HTTP 500")
    again = await console.as_operations("POST", f"/v1/dead-letters/{letter['id']}/replay")
    assert (again.status_code, again.json()) == (200, {"replayed": 1})
    assert (await console.as_operations("GET", "/v1/dead-letters")).json() == {"items": []}
    path = f"/v1/dead-letters/{letter['id']}/replay"
    refused(await console.as_operations("POST", path), 404, "not_found")
    assert [message.id for message in outbox.claim(10, now=clock() + timedelta(1))] == [letter["id"]]
    assert (await console.as_operations("POST", "/v1/dead-letters/replay")).json() == {"replayed": 0}


async def test_dead_letters_are_for_operators_alone(console: Console) -> None:
    """Neither customers nor finance nor billing read or send them."""
    for call in (console.as_customer, console.as_finance, console.as_billing):
        refused(await call("GET", "/v1/dead-letters"), 403, "forbidden")
        refused(await call("POST", "/v1/dead-letters/replay"), 403, "forbidden")


async def test_what_the_console_is_told_is_what_the_owner_reads(console: Console, ledger_database: Database) -> None:
    """Field by field, but for the names and the phone."""
    withdrawal = await console.verified()
    path = f"/v1/withdrawals/{withdrawal['id']}"
    read = (await console.as_customer("GET", path)).json()
    message = Outbox(ledger_database).claim(10, now=console.engine.clock() + timedelta(1))[-1]
    told = json.loads(body_of(message))["data"]["withdrawal"]
    assert read.keys() - told.keys() == {"phone"}
    assert read["bank_card"].keys() - told["bank_card"].keys() == {"account_name", "branch_name"}
    assert read["bank_card"] | told.pop("bank_card") == read["bank_card"]
    assert read | told == read
