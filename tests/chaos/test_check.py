"""The judge of a run: a clean run is clean, and each way to lose a fen or break a promise is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos.check import BANK, JOURNAL, OURS, Evidence

Json = dict[str, Any]
PAID, CANCELLED = "0190a000-0000-7000-8000-000000000001", "0190a000-0000-7000-8000-000000000002"


def lines() -> list[Json]:
    """One account tops 1,000.00 up, uses 100.00, is paid 500.00; another one cancels; one decision was taken."""
    asked: list[tuple[str, str, Json, Json]] = [
        ("top-ups", "acct_1", {"reference": "r1", "amount": "1000.00"}, {}),
        ("charges", "acct_1", {"reference": "r2", "amount": "100.00"}, {}),
        ("apply", "acct_1", {"amount": "500.00", "key": "k1"}, {"said_id": PAID}),
        ("verify", "acct_1", {"withdrawal_id": PAID}, {}),
        ("decide", "acct_1", {"withdrawal_id": PAID, "decision": "approve", "by": "fin-1"}, {}),
        ("top-ups", "acct_2", {"reference": "r1", "amount": "30.00"}, {}),
        ("apply", "acct_2", {"amount": "20.00", "key": "k1"}, {"said_id": CANCELLED}),
        ("cancel", "acct_2", {"withdrawal_id": CANCELLED}, {}),
    ]
    journal: list[Json] = []
    for number, (op, account_id, facts, said) in enumerate(asked):
        journal.append({"n": number, "type": "invoke", "op": op, "account_id": account_id, **facts})
        journal.append({"n": number, "type": "ok", "op": op, "account_id": account_id, **said})
    return journal


def our_book() -> Json:
    """As the rows say it."""
    return {
        "withdrawals": {
            PAID: {"account_id": "acct_1", "amount_fen": 500_00, "status": "paid", "verified": True},
            CANCELLED: {"account_id": "acct_2", "amount_fen": 20_00, "status": "cancelled", "verified": False},
        },
        "balances": {"acct_1": 400_00, "acct_2": 30_00},
        "bookings": {"acct_1:top_up:r1": 1_000_00, "acct_1:charge:r2": 100_00, "acct_2:top_up:r1": 30_00},
        "decisions": [[PAID, "fin-1", "approve"]],
        "keys": {"acct_1/k1": PAID, "acct_2/k1": CANCELLED},
        "bank_clearing": 500_00,
    }


def banks_book() -> Json:
    """As the sandbox bank answers it."""
    return {
        "transfers": [{"client_ref": PAID, "amount": "500.00", "state": "succeeded"}],
        "entries": [{"client_ref": PAID, "kind": "payment", "amount": "500.00"}],
    }


def judged(folder: Path, journal: list[Json], ours: Json, banks: Json) -> tuple[list[str], int]:
    """What the judge finds in a folder with these three."""
    (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in journal))
    (folder / OURS).write_text(json.dumps(ours))
    (folder / BANK).write_text(json.dumps(banks))
    findings = Evidence.read(folder).judge()
    return findings.violations, findings.fen_missing


def test_a_clean_run_is_clean(tmp_path: Path) -> None:
    """Nothing is found where nothing is wrong."""
    assert judged(tmp_path, lines(), our_book(), banks_book()) == ([], 0)


def _lose_a_fen(journal: list[Json], ours: Json, banks: Json) -> None:
    ours["balances"]["acct_1"] -= 1


def _invent_a_fen(journal: list[Json], ours: Json, banks: Json) -> None:
    ours["balances"]["acct_2"] += 1


def _pay_twice(journal: list[Json], ours: Json, banks: Json) -> None:
    banks["entries"] *= 2


def _pay_what_was_cancelled(journal: list[Json], ours: Json, banks: Json) -> None:
    banks["transfers"].append({"client_ref": CANCELLED, "amount": "20.00", "state": "succeeded"})
    banks["entries"].append({"client_ref": CANCELLED, "kind": "payment", "amount": "20.00"})


def _pay_a_stranger(journal: list[Json], ours: Json, banks: Json) -> None:
    banks["transfers"].append({"client_ref": "somebody", "amount": "1.00", "state": "succeeded"})


def _pay_another_amount(journal: list[Json], ours: Json, banks: Json) -> None:
    banks["transfers"][0]["amount"] = "500.01"


def _forget_a_withdrawal(journal: list[Json], ours: Json, banks: Json) -> None:
    del ours["withdrawals"][CANCELLED]


def _forget_a_cancel(journal: list[Json], ours: Json, banks: Json) -> None:
    ours["withdrawals"][CANCELLED]["status"] = "failed"


def _forget_a_verification(journal: list[Json], ours: Json, banks: Json) -> None:
    ours["withdrawals"][PAID]["verified"] = False


def _forget_a_decision(journal: list[Json], ours: Json, banks: Json) -> None:
    ours["decisions"] = []


def _forget_a_booking(journal: list[Json], ours: Json, banks: Json) -> None:
    ours["balances"]["acct_2"] = 0
    del ours["bookings"]["acct_2:top_up:r1"]


def _use_a_key_twice(journal: list[Json], ours: Json, banks: Json) -> None:
    ours["keys"]["acct_2/k1"] = PAID


@pytest.mark.parametrize(
    "harm",
    [
        _lose_a_fen,
        _invent_a_fen,
        _pay_twice,
        _pay_what_was_cancelled,
        _pay_a_stranger,
        _pay_another_amount,
        _forget_a_withdrawal,
        _forget_a_cancel,
        _forget_a_verification,
        _forget_a_decision,
        _forget_a_booking,
        _use_a_key_twice,
    ],
    ids=lambda harm: harm.__name__.strip("_"),
)
def test_every_harm_is_found(tmp_path: Path, harm: Callable[[list[Json], Json, Json], None]) -> None:
    """One harm at a time, each named in a sentence."""
    journal, ours, banks = lines(), our_book(), banks_book()
    harm(journal, ours, banks)
    violations, _ = judged(tmp_path, journal, ours, banks)
    assert violations


def test_missing_fen_are_counted_over_all_accounts(tmp_path: Path) -> None:
    """One too few here and two too many there are three: they don't make up for each other."""
    ours = our_book()
    ours["balances"] = {"acct_1": 400_00 - 1, "acct_2": 30_00 + 2}
    assert judged(tmp_path, lines(), ours, banks_book())[1] == 3


def test_an_unknown_outcome_counts_by_what_the_book_says(tmp_path: Path) -> None:
    """A top-up nobody heard of may be booked or not; either way the account has what the book says."""
    journal = lines()
    facts = {"reference": "r9", "amount": "5.00"}
    journal.append({"n": 90, "type": "invoke", "op": "top-ups", "account_id": "acct_2", **facts})
    journal.append({"n": 90, "type": "unknown", "op": "top-ups", "account_id": "acct_2"})
    assert judged(tmp_path, journal, our_book(), banks_book()) == ([], 0)
    booked = our_book()
    booked["bookings"]["acct_2:top_up:r9"] = 5_00
    booked["balances"]["acct_2"] += 5_00
    assert judged(tmp_path, journal, booked, banks_book()) == ([], 0)
