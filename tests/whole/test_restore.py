"""Back-up and restore, rehearsed: PostgreSQL from a base back-up, Temporal empty, and every withdrawal finishes."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from stack.postgres import SUPERUSER, binaries
from tests.whole.customers import Customer
from tests.whole.waiting import until
from tests.whole.world import World


def test_everything_finishes_after_a_restore_with_an_empty_temporal(world: World) -> None:
    """One waits for its code, one for finance, one for the bank; and one was paid after the back-up was taken.

    Of the last one the restored rows know no more than that the bank was asked: it is asked again, and pays nothing
    twice.
    """
    entering, large = world.customer(), world.customer("50000.00")
    waiting, overtaken = world.customer(behaviour="silent"), world.customer(behaviour="silent")
    to_enter, to_approve = entering.applied(), large.verified("50000.00")
    with_the_bank, paid_later = waiting.verified(), overtaken.verified()
    code = entering.code()
    for customer, withdrawal_id in ((waiting, with_the_bank), (overtaken, paid_later)):
        until(partial(_has_happened, "bank_accepted", customer, withdrawal_id), "the bank has it")

    backup = _back_up(world)
    world.set_card(overtaken, "pay")
    overtaken.becomes(paid_later, "paid")

    for process in (world.stack.worker, world.stack.api, world.stack.temporal.process, world.stack.postgres.process):
        process.kill()
    _restore(world, backup)
    for file in world.stack.state.temporal_database.parent.iterdir():
        file.unlink()
    world.stack.postgres.start_again()
    world.stack.temporal.start_again()
    world.stack.worker.start_again()
    world.stack.api.start_again()
    world.stack.wait_until_ready()

    assert overtaken.status(paid_later) == "processing"
    assert overtaken.money() == ("1000.00", "500.00")
    until(lambda: entering.enter(to_enter, code).status_code == 200, "the code")
    until(lambda: world.decide(to_approve, "approve", by="fin-1").status_code == 200, "the decision")
    world.set_card(waiting, "pay")
    for customer, withdrawal_id in (
        (entering, to_enter), (large, to_approve), (waiting, with_the_bank), (overtaken, paid_later),
    ):  # fmt: skip
        until(partial(_has_happened, "paid", customer, withdrawal_id), "it is paid", seconds=90)
        assert world.entries(withdrawal_id) == ["payment"]
        assert world.submissions(withdrawal_id) == 1


def _has_happened(event: str, customer: Customer, withdrawal_id: str) -> bool:
    return event in customer.events(withdrawal_id)


def _back_up(world: World) -> Path:
    """As in production: while everything goes on."""
    folder = world.stack.state.root / "back-up"
    login = conninfo_to_dict(world.stack.postgres.url(SUPERUSER, "postgres").replace("+psycopg", ""))
    subprocess.run(
        [binaries() / "pg_basebackup", f"--pgdata={folder}", "--wal-method=stream", "--checkpoint=fast"],
        env={
            "PGHOST": "127.0.0.1",
            "PGPORT": str(login["port"]),
            "PGUSER": SUPERUSER,
            "PGPASSWORD": str(login["password"]),
        },
        check=True,
        capture_output=True,
    )
    return folder


def _restore(world: World, backup: Path) -> None:
    """The machine with the data is gone; the back-up takes its place."""
    data = world.stack.state.postgres / "data"
    owner = data.stat()
    shutil.rmtree(data)
    backup.rename(data)
    if os.geteuid() == 0:
        for path in (data, *data.rglob("*")):
            os.lchown(path, owner.st_uid, owner.st_gid)
