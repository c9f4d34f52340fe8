"""An operator rotates the field keys and verifies the audit chain while customers withdraw."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from ledger.database import Database
from stack.local import ROOT
from tests.whole.waiting import until
from tests.whole.world import World


def run(world: World, module: str) -> subprocess.CompletedProcess[str]:
    """What `make` runs on the stack that is up."""
    return subprocess.run(
        [sys.executable, "-m", module],
        env=world.stack.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_keys_are_rotated_while_customers_withdraw(world: World) -> None:
    """Nobody is refused, the bank gets the right card, and the processes that run never hear of a restart."""
    ring = Path(world.stack.environment["WITHDRAWALS_KEY_FILE"])
    old = set(json.loads(ring.read_text())["field_keys"])
    waiting = world.customer()
    begun_before = waiting.applied()
    over = threading.Event()

    def withdraw() -> int:
        paid = 0
        while not over.is_set():
            customer = world.customer()
            customer.becomes(customer.verified(), "paid")
            paid += 1
        return paid

    with ThreadPoolExecutor(2) as threads:
        customers = [threads.submit(withdraw) for _ in range(2)]
        try:
            done = run(world, "ledger.rotation")
        finally:
            over.set()
        assert all(customer.result() for customer in customers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not old & set(json.loads(ring.read_text())["field_keys"])
    with closing(Database.connect(world.stack.postgres.url(), pool_size=1)) as database, database.snapshot() as rows:
        events = rows.execute(text("SELECT kind, actor FROM key_events")).all()
    assert {("taken_up", "api"), ("taken_up", "worker")} <= set(events)
    assert {"made_current", "rewritten", "retired"} <= {kind for kind, _ in events}
    # A value from before the rotation, opened by a process from before it.
    assert waiting.enter(begun_before, waiting.code()).status_code == 200
    waiting.becomes(begun_before, "paid")
    transfer = world.transfer(begun_before)
    assert transfer is not None
    assert transfer["card_number"] == waiting.card_number


def test_the_chain_is_verified_while_customers_withdraw(world: World) -> None:
    """The worker seals and anchors by itself; the command finds everything as it was sealed."""
    anchors = Path(world.stack.environment["WITHDRAWALS_AUDIT_ANCHOR_FILE"])
    customer = world.customer()
    before = anchors.stat().st_size if anchors.exists() else 0
    customer.becomes(customer.verified(), "paid")
    until(lambda: anchors.exists() and anchors.stat().st_size > before, "an anchor", seconds=45)
    done = run(world, "ledger.audit_verification")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The audit chain is whole" in done.stdout
