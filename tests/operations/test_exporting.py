"""A day as a spreadsheet reads it."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path

import pytest

from domain.shanghai import day_of
from domain.withdrawal import Status
from ledger.cases import Cases
from operations.exporting import HEADS, inert, open_new, write_day
from tests.ledger.stories import CARD, SUCCEEDED, Ledger, Stories


def test_a_day_has_every_event_of_it_and_none_of_the_next(ledger: Ledger, stories: Stories) -> None:
    """By the wall clock of Shanghai, oldest first."""
    withdrawal_id = stories.bring_to(Status.PROCESSING)
    stories.pass_time(days=1)
    stories.answer(withdrawal_id, SUCCEEDED)
    sheet = io.StringIO()
    today = day_of(stories.now - timedelta(days=1))
    count = write_day(Cases(ledger.database), today, sheet)
    head, *lines = csv.reader(io.StringIO(sheet.getvalue()))
    assert tuple(head) == HEADS
    assert [line[6] for line in lines] == ["applied", "code_sent", "verified", "frozen"]
    assert count == len(lines)
    assert {tuple(line[1:6]) for line in lines} == {(str(withdrawal_id), "acct_1", "500.00", "平安银行", "**** 0018")}
    assert {line[8] for line in lines} == {"customer", "system"}


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"])
def test_no_cell_is_a_formula(formula: str) -> None:
    """What a customer typed as the bank's name is never carried out on finance's machine."""
    assert inert(formula) == f"'{formula}"
    assert inert("平安银行") == "平安银行"


def test_a_bank_name_that_is_a_formula_arrives_as_text(ledger: Ledger, stories: Stories) -> None:
    """From the form to the sheet."""
    card = type(CARD)(CARD.account_name, "=HYPERLINK(1)", CARD.branch_name, CARD.card_number)
    stories.apply(stories.open_account(), card=card)
    sheet = io.StringIO()
    write_day(Cases(ledger.database), day_of(stories.now), sheet)
    _, line = csv.reader(io.StringIO(sheet.getvalue()))
    assert line[4] == "'=HYPERLINK(1)"


def test_a_file_is_new_and_for_its_owner_alone(tmp_path: Path) -> None:
    """An export that is there already is never overwritten."""
    file = tmp_path / "day.csv"
    with open_new(file) as sheet:
        sheet.write("支")
    assert file.read_bytes() == b"\xef\xbb\xbf" + "支".encode()
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        open_new(file)
