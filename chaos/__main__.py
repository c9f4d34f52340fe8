"""`make chaos`: the fault programme. The last line is its verdict, and any number but zero in it fails."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from chaos.check import JOURNAL
from chaos.programme import Orders, Result, carry_out
from chaos.report import written
from stack.processes import ProcessFailed
from stack.signals import Stopped, stopped_by_signals

_SHORT = {"seed": 20_261_125, "withdrawals": 220, "kills": 22, "minutes": 3.2}
_LONG = {"withdrawals": 5_200, "kills": 320, "minutes": 42.0}
_SHOWN_ACCOUNTS = 3
_SHOWN_LINES = 60


def main() -> int:
    """0 for a clean run, 1 for a violation, 2 where the programme itself could not go on."""
    options = _options()
    os.umask(0o077)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    # PostgreSQL under its unprivileged user passes through to its own folder.
    folder.chmod(0o711)
    begun = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {what}", flush=True)

    orders = Orders(options.seed, options.withdrawals, options.kills, options.minutes * 60)
    tell(f"seed {orders.seed}; the evidence goes to {folder}")
    try:
        with stopped_by_signals():
            result = carry_out(orders, folder, tell)
    except Stopped:
        return 2
    except (ProcessFailed, TimeoutError) as failed:
        print(f"the programme could not go on: {failed}\nseed {orders.seed}", file=sys.stderr)
        return 2
    report = written(result)
    (options.report or folder / "report.md").write_text(report, "utf-8")
    print(report)
    if not result.clean:
        _show_histories(result, folder)
    print(result.verdict)
    return 0 if result.clean else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="some five minutes, always the same seed")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--withdrawals", type=int)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--minutes", type=float, help="how long the load is spread over")
    parser.add_argument("--keep", type=Path, help="a folder for the evidence and the stack's data")
    parser.add_argument("--report", type=Path, help="where the report goes, besides the terminal")
    options = parser.parse_args()
    usual = _SHORT if options.short else {"seed": secrets.randbelow(1_000_000_000), **_LONG}
    for name, value in usual.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if min(options.withdrawals, options.kills, options.minutes) <= 0:
        parser.error("withdrawals, kills and minutes are more than nothing")
    return options


def _show_histories(result: Result, folder: Path) -> None:
    """What the programme did to the accounts that a violation names, as the journal has it."""
    print(f"\nseed {result.orders.seed}; judge it again with: python -m chaos.check {folder}")
    for sentence in (*result.violations, *result.rest.restless)[:20]:
        print(f"  {sentence}")
    owners = {ref: withdrawal["account_id"] for ref, withdrawal in result.rest.ours.withdrawals.items()}
    named = [
        account_id
        for sentence in (*result.violations, *result.rest.restless)
        for ref, account_id in owners.items()
        if ref in sentence or account_id in sentence.replace(":", " ").split()
    ]
    for account_id in list(dict.fromkeys(named))[:_SHOWN_ACCOUNTS]:
        print(f"\nthe history of {account_id}:")
        lines = [line for line in (folder / JOURNAL).read_text("utf-8").splitlines() if f'"{account_id}"' in line]
        print("\n".join(f"  {line}" for line in lines[-_SHOWN_LINES:]))


if __name__ == "__main__":
    sys.exit(main())
