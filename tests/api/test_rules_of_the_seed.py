"""The rules of the help page that the HTTP API itself decides; the others are beside the ledger and the workflow."""

from __future__ import annotations

import pytest

from tests.api.console import PERSONS_CARD, Console, application


@pytest.mark.parametrize("field", ["account_name", "bank_name", "branch_name", "card_number"])
async def test_rule_7_the_form_asks_for_the_amount_and_the_whole_bank_card(console: Console, field: str) -> None:
    """Nothing of the form may be left out, and the refusal names the field."""
    card = {name: value for name, value in PERSONS_CARD.items() if name != field}
    async with console.nothing_changes():
        answer = await console.apply(bank_card=card)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [f"bank_card.{field}"]
    without_amount = {name: value for name, value in application("acct_1001").items() if name != "amount"}
    headers = {"Idempotency-Key": "rule-7"}
    async with console.nothing_changes():
        answer = await console.as_customer("POST", "/v1/withdrawals", headers=headers, json=without_amount)
    assert [error["field"] for error in answer.json()["errors"]] == ["amount"]


async def test_rule_9_on_success_the_customer_reads_the_sentence_with_the_dates(console: Console) -> None:
    """Word for word, with the 10th and the 15th working day after the day of the verification."""
    body = (await console.verify(await console.applied())).json()
    assert body["message"] == (
        "Your withdrawal application has been received and will be processed within 10 to 15 working days."
    )
    assert body["arrival_window"] == {"earliest": "2026-12-07", "latest": "2026-12-14", "provisional": False}
