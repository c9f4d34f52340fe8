"""A day as a spreadsheet file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TextIO

from domain.bank_card import masked_card
from domain.money import format_yuan
from domain.shanghai import SHANGHAI
from ledger.cases import Cases, DayLine

HEADS = (
    "time (Shanghai)", "withdrawal", "account", "amount (CNY)", "bank", "card", "event", "status", "by", "via",
)  # fmt: skip
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write_day(cases: Cases, day: date, sheet: TextIO) -> int:
    """Writes every event of a Shanghai day, in order; returns how many."""
    return _write(cases.day(day), sheet)


def open_new(file: Path) -> TextIO:
    """A file that was not there before, for its owner's eyes; with a mark at its start by which Excel knows UTF-8."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="")


def inert(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: what would be one begins with an apostrophe (CWE-1236)."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_STARTS_A_FORMULA) else cell


def _write(lines: Iterable[DayLine], sheet: TextIO) -> int:
    writer = csv.writer(sheet, lineterminator="\r\n")
    writer.writerow(HEADS)
    count = 0
    for count, line in enumerate(lines, start=1):  # noqa: B007 - counted
        cells = (
            f"{line.at.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}",
            str(line.withdrawal_id),
            line.account_id,
            format_yuan(line.amount_fen),
            line.bank_name,
            masked_card(line.card_last4),
            line.kind,
            str(line.status),
            line.by,
            str(line.via),
        )
        writer.writerow([inert(cell) for cell in cells])
    return count
