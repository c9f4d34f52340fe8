"""What callers asked for: written down once, and good for one withdrawal and one verb."""

from __future__ import annotations

from uuid import uuid4

import pytest

from domain.errors import NotFound
from domain.withdrawal import Door, Status, Verb
from ledger.instructions import Instructions
from tests.ledger.stories import Ledger, Stories


def test_an_instruction_is_read_as_it_was_recorded(ledger: Ledger, stories: Stories) -> None:
    """Who, what and why; it came through the API, and is carried out under a key of its own."""
    withdrawal_id, instructions = stories.bring_to(Status.AWAITING_APPROVAL), Instructions(ledger.database)
    first = instructions.record(withdrawal_id, Verb.DECIDE, "finance-1", word="approve", note="ok", now=stories.now)
    second = instructions.record(withdrawal_id, Verb.DECIDE, "finance-1", word="approve", note="ok", now=stories.now)
    read = instructions.read(withdrawal_id, Verb.DECIDE, first)
    assert (read.instruction.actor, read.instruction.door, read.word, read.note) == (
        "finance-1",
        Door.API,
        "approve",
        "ok",
    )
    other = instructions.read(withdrawal_id, Verb.DECIDE, second)
    assert read.instruction.operation_key != other.instruction.operation_key


def test_nothing_else_is_an_instruction(ledger: Ledger, stories: Stories) -> None:
    """Not one of another withdrawal, not one for another verb, not one that nobody recorded."""
    withdrawal_id, instructions = stories.bring_to(Status.AWAITING_APPROVAL), Instructions(ledger.database)
    other_id = stories.bring_to(Status.AWAITING_APPROVAL)
    recorded = instructions.record(withdrawal_id, Verb.CANCEL, "customer", now=stories.now)
    for where, verb, name in (
        (other_id, Verb.CANCEL, recorded),
        (withdrawal_id, Verb.DECIDE, recorded),
        (withdrawal_id, Verb.CANCEL, uuid4()),
    ):
        with pytest.raises(NotFound):
            instructions.read(where, verb, name)
