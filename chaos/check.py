"""What a run has to have left behind: judged from its journal and both books alone, so that it can be judged again."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from chaos.both_books import BanksBook, Json, OurBook, as_fen, disagreements

JOURNAL, OURS, BANK = "journal.jsonl", "ours.json", "bank.json"

_BILLING = {"top-ups": "top_up", "charges": "charge"}


@dataclass(frozen=True)
class Ended:
    """An operation as the journal has it: what was asked, and what became of it."""

    op: str
    account_id: str
    outcome: str
    asked: Json = field(repr=False)
    said: Json = field(repr=False)


@dataclass(frozen=True)
class Findings:
    """Sentences about what is wrong, and how many fen are missing or too many, over all accounts."""

    violations: list[str]
    fen_missing: int

    def __bool__(self) -> bool:
        return bool(self.violations or self.fen_missing)


@dataclass(frozen=True)
class Evidence:
    """One run's folder, read."""

    operations: list[Ended] = field(repr=False)
    ours: OurBook = field(repr=False)
    banks: BanksBook = field(repr=False)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """From the three files that a run writes."""
        ours = json.loads((folder / OURS).read_text("utf-8"))
        ours["decisions"] = [tuple(decision) for decision in ours["decisions"]]
        return cls(
            _operations(folder / JOURNAL),
            OurBook(**ours),
            BanksBook.of(json.loads((folder / BANK).read_text("utf-8"))),
        )

    def judge(self) -> Findings:
        """Every promise that an answer made is kept, both books agree, and each account has what it should."""
        missing = self._missing()
        return Findings(
            [
                *disagreements(self.ours, self.banks),
                *(f"{account_id} has {fen:+} fen against what it should have" for account_id, fen in missing.items()),
                *self._broken_promises(),
            ],
            sum(abs(fen) for fen in missing.values()),
        )

    def _missing(self) -> dict[str, int]:
        """By account: what it has, less what was paid in, used, paid out and sent back, in fen."""
        expected: defaultdict[str, int] = defaultdict(int)
        booked: set[str] = set()
        for one in self.operations:
            kind = _BILLING.get(one.op)
            if kind is None:
                continue
            key = f"{one.account_id}:{kind}:{one.asked['reference']}"
            # An unknown outcome counts by what the book says; an answer of ok counts whatever the book says.
            if key not in booked and (one.outcome == "ok" or key in self.ours.bookings):
                booked.add(key)
                expected[one.account_id] += as_fen(one.asked["amount"]) * (1 if kind == "top_up" else -1)
        for withdrawal_id, withdrawal in self.ours.withdrawals.items():
            expected[withdrawal["account_id"]] -= self.banks.net_paid(withdrawal_id)
        accounts = expected.keys() | self.ours.balances.keys()
        differences = {one: self.ours.balances.get(one, 0) - expected[one] for one in sorted(accounts)}
        return {account_id: fen for account_id, fen in differences.items() if fen}

    def _broken_promises(self) -> list[str]:
        found: list[str] = []
        decided = set(self.ours.decisions)
        made: dict[str, str] = {}
        for one in self.operations:
            if one.outcome != "ok":
                continue
            row = self.ours.withdrawals.get(one.asked.get("withdrawal_id", ""), {})
            match one.op:
                case "apply":
                    made[f"{one.account_id}/{one.asked['key']}"] = one.said["id"]
                    row = self.ours.withdrawals.get(one.said["id"], {})
                    if (row.get("account_id"), row.get("amount_fen")) != (one.account_id, as_fen(one.asked["amount"])):
                        found.append(f"{one.said['id']} was promised to {one.account_id}, and is not there as asked")
                case "verify" if not row.get("verified"):
                    found.append(f"{one.asked['withdrawal_id']}: its code was taken, and it is not verified")
                case "cancel" if row.get("status") != "cancelled":
                    found.append(f"{one.asked['withdrawal_id']} was cancelled, and is {row.get('status')}")
                case "decide":
                    word = (one.asked["withdrawal_id"], one.asked["by"], one.asked["decision"])
                    if word not in decided:
                        found.append(f"{word} was taken as a decision, and is on no record")
                case _:
                    pass
        return found + [
            f"the key {key} made {promised}, and stands for {self.ours.keys.get(key)}"
            for key, promised in made.items()
            if self.ours.keys.get(key) != promised
        ]


def _operations(journal: Path) -> list[Ended]:
    """Each end with what its beginning asked for."""
    asked: dict[int, Json] = {}
    ended: list[Ended] = []
    with journal.open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["type"] == "invoke":
                asked[entry["n"]] = entry
            elif entry["type"] != "fault":
                said = {name[5:]: value for name, value in entry.items() if name.startswith("said_")}
                ended.append(Ended(entry["op"], entry["account_id"], entry["type"], asked[entry["n"]], said))
    return ended


def main() -> int:
    """`python -m chaos.check FOLDER`: judges a run again; 1 if something is wrong."""
    findings = Evidence.read(Path(sys.argv[1])).judge()
    for violation in findings.violations:
        print(violation)
    print(f"violations: {len(findings.violations)}, fen missing: {findings.fen_missing}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
