"""The bugs that `make planted` plants, one at a time: each breaks a promise that some test has to keep watch over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """What stands in a file exactly once, and what the bug puts there instead."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A bug by its edits, and the tests of which at least one has to fail."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


BUGS = (
    Bug(
        "freeze without a lock",
        (
            Edit(
                "ledger/rows.py",
                "        == select(withdrawals.c.account_id).where(withdrawals.c.id == bindparam("
                '"withdrawal_id")).scalar_subquery()\n    )\n    .with_for_update()\n',
                "        == select(withdrawals.c.account_id).where(withdrawals.c.id == bindparam("
                '"withdrawal_id")).scalar_subquery()\n    )\n',
            ),
        ),
        ("tests/ledger/test_races.py",),
    ),
    Bug(
        "a withdrawal is read before its lock is held",
        (
            Edit(
                "ledger/rows.py",
                "    if _LOCK_BY_WITHDRAWAL.first(connection, withdrawal_id=withdrawal_id) is None:\n"
                "        raise NotFound\n"
                "    return read_withdrawal(connection, withdrawal_id, reading)\n",
                "    row = read_withdrawal(connection, withdrawal_id, reading)\n"
                "    _LOCK_BY_WITHDRAWAL.first(connection, withdrawal_id=withdrawal_id)\n"
                "    return row\n",
            ),
        ),
        ("tests/ledger/test_races.py",),
    ),
    Bug(
        "no operation key: a reference is booked each time it is told",
        (
            Edit(
                "ledger/accounts.py",
                'operation_key = f"{account_id}:{kind}:{reference}"',
                "operation_key = f\"{account_id}:{kind}:{reference}:{__import__('uuid').uuid4()}\"",
            ),
        ),
        ("tests/ledger/test_accounts.py", "tests/api/test_accounts.py"),
    ),
    Bug(
        "unfreeze on a time-out: no answer from the bank counts as a no",
        (
            Edit(
                "activities/bank.py",
                "        return await self.bank.submit(withdrawal_id, order.amount_fen, order.card)",
                "        try:\n"
                "            return await self.bank.submit(withdrawal_id, order.amount_fen, order.card)\n"
                "        except Exception:\n"
                "            from domain.withdrawal import TransferState\n"
                "            return BankAnswer(TransferState.FAILED)",
            ),
        ),
        ("tests/workflows/test_bank.py",),
    ),
    Bug(
        "settle twice: a success that is repeated is booked again",
        (
            Edit(
                "ledger/transfers.py",
                "            if answer.state == known and (status.is_final or not answer.is_outcome):\n"
                "                return standing_of(row)  # Nothing new.\n",
                "",
            ),
            Edit(
                "ledger/transfers.py", "        if status in ASKED:\n", "        if state is TransferState.SUCCEEDED:\n"
            ),
        ),
        ("tests/ledger/test_transfers.py",),
    ),
    Bug(
        "a new reference on each try",
        (
            Edit(
                "bank/client.py",
                '            "client_ref": str(client_ref),',
                '            "client_ref": str(uuid4()),',
            ),
            Edit("bank/client.py", "from uuid import UUID\n", "from uuid import UUID, uuid4\n"),
        ),
        ("tests/whole/test_bank.py",),
    ),
    Bug(
        "the once-a-month index is dropped",
        (
            Edit(
                "migrations/versions/0005_oversight.py",
                "def upgrade() -> None:\n",
                'def upgrade() -> None:\n    op.execute("DROP INDEX withdrawals_once_a_month")\n',
            ),
        ),
        ("tests/ledger/test_constraints.py", "tests/ledger/test_schema.py"),
    ),
    Bug(
        "self-approval is allowed",
        (
            Edit(
                "ledger/moves.py",
                'if instruction.actor == row["applicant"] or connection.execute(_HAS_DECIDED, approver).first():',
                "if connection.execute(_HAS_DECIDED, approver).first():",
            ),
        ),
        ("tests/ledger/test_moves.py", "tests/ledger/test_rules_of_the_seed.py", "tests/api/test_finance.py"),
    ),
    Bug(
        "a sweep that unfreezes without asking the bank",
        (
            Edit(
                "activities/reconciliation.py",
                "            await self._start(WORKFLOW_TYPE, workflow_id(withdrawal_id), withdrawal_id, only_if_none=True)\n",
                "            await asyncio.to_thread(self._give_up, withdrawal_id)\n",
            ),
            Edit(
                "activities/reconciliation.py",
                "    async def _wake(self",
                "    def _give_up(self, withdrawal_id: UUID) -> None:\n"
                "        from domain.withdrawal import Door\n"
                "        from ledger.moves import unfreezing\n"
                "        from ledger.rows import Happening, lock_withdrawal, move_on\n"
                "        with self.database.transaction() as connection:\n"
                "            row, now = lock_withdrawal(connection, withdrawal_id), datetime.now(UTC)\n"
                '            failed = Happening("failed", "system", Door.WORKFLOW, now)\n'
                "            move_on(connection, row, Status.FAILED, failed, entry=unfreezing(row, now))\n"
                "\n"
                "    async def _wake(self",
            ),
        ),
        ("tests/workflows/test_sweep.py",),
    ),
    Bug(
        "a return is credited each time it is told",
        (
            Edit(
                "ledger/transfers.py",
                "            if answer.state == known and (status.is_final or not answer.is_outcome):\n"
                "                return standing_of(row)  # Nothing new.\n",
                "",
            ),
            Edit(
                "ledger/transfers.py",
                "        if status is Status.PAID and state is TransferState.RETURNED:\n",
                "        if status in (Status.PAID, Status.RETURNED) and state is TransferState.RETURNED:\n",
            ),
            Edit(
                "ledger/book.py",
                '    return Entry(kind, f"{withdrawal_id}:{kind}", account_id,',
                '    return Entry(kind, f"{withdrawal_id}:{kind}:{at.timestamp()}", account_id,',
            ),
            Edit(
                "migrations/versions/0005_oversight.py",
                "def upgrade() -> None:\n",
                'def upgrade() -> None:\n    op.execute("DROP INDEX transactions_one_return")\n',
            ),
        ),
        ("tests/workflows/test_bank.py", "tests/ledger/test_transfers.py"),
    ),
    Bug(
        "status written outside the transaction: each statement commits by itself",
        (
            Edit(
                "ledger/database.py",
                "        with translated(), self.engine.begin() as connection:\n            yield connection\n",
                "        with translated(), self.engine.connect() as connection:\n"
                '            yield connection.execution_options(isolation_level="AUTOCOMMIT")\n',
            ),
        ),
        ("tests/ledger/test_races.py", "tests/ledger/test_commit_unknown.py", "tests/ledger/test_moves.py"),
    ),
    Bug(
        "`except Exception` around the story: a cancellation ends the run with the money frozen",
        (
            Edit(
                "workflows/withdrawal.py",
                "            except asyncio.CancelledError:\n                if workflow.cancellation_reason() is None:\n"
                "                    raise  # Not a cancellation: this worker only evicts the run from its cache.\n",
                "            except Exception:\n                if workflow.cancellation_reason() is None:\n"
                "                    raise  # Not a cancellation: this worker only evicts the run from its cache.\n",
            ),
        ),
        ("tests/workflows/test_cancellation.py",),
    ),
    Bug(
        "the cursor is advanced before the nudge",
        (
            Edit(
                "activities/reconciliation.py",
                "            changes = await self.bank.changes(cursor)\n",
                "            changes = await self.bank.changes(cursor)\n"
                "            await asyncio.to_thread(self.sweeps.move_cursor, changes.next_cursor, now=datetime.now(UTC))\n",
            ),
        ),
        ("tests/workflows/test_sweep.py",),
    ),
    Bug(
        "the one look that a return's prompt causes is not repeated where the bank is in doubt",
        (
            Edit(
                "workflows/withdrawal.py",
                "        if not await self._look_at_bank() and "
                "(asked := await steps.keep_looking_at_bank(self._id)) is not None:\n"
                "            self._learn(asked.standing)\n",
                "        await self._look_at_bank()\n",
            ),
        ),
        ("tests/workflows/test_bank.py",),
    ),
    Bug(
        "not found at the bank counts as a no",
        (
            Edit(
                "activities/bank.py",
                "            if known is not None:\n                return known\n",
                "            from domain.withdrawal import TransferState\n"
                "            return known or BankAnswer(TransferState.FAILED)\n",
            ),
        ),
        ("tests/workflows/test_bank.py", "tests/whole/test_bank.py"),
    ),
    Bug(
        "a transfer under review is submitted again",
        (
            Edit(
                "ledger/transfers.py",
                'card, asked_before, row["status"] == Status.PROCESSING)',
                "card, asked_before, True)",
            ),
        ),
        ("tests/workflows/test_bank.py", "tests/ledger/test_transfers.py"),
    ),
    Bug(
        "one person's word is enough for a large transfer under review",
        (Edit("domain/approval.py", "    return 2 if approvals_needed else 1", "    return 1"),),
        ("tests/ledger/test_transfers.py",),
    ),
    Bug(
        "a run that missed a commit is left waiting",
        (
            Edit(
                "activities/reconciliation.py",
                "        missed = await asyncio.to_thread(self.sweeps.overdue, by=before, since=since)\n",
                "        missed: list[UUID] = []\n",
            ),
        ),
        ("tests/workflows/test_sweep.py",),
    ),
    Bug(
        "the sweep shows no sign of life: a killed worker stops all sweeping for minutes",
        (
            Edit(
                "workflows/reconciliation.py",
                "            heartbeat_timeout=options.SWEEP_HEARTBEAT,\n            retry_policy=options.SWEEP_RETRIES,\n",
                "            retry_policy=options.SWEEP_RETRIES,\n",
            ),
        ),
        ("tests/workflows/test_sweep.py",),
    ),
    Bug(
        "the audit chain seals what transactions under way have still to write",
        (
            Edit(
                "ledger/audit_chain.py",
                'text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")',
                'text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")',
            ),
        ),
        ("tests/ledger/test_audit_chain.py",),
    ),
    Bug(
        "the look over the ledger goes on after what transactions under way have still to write",
        (
            Edit(
                "ledger/invariants.py",
                'text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")',
                'text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")',
            ),
        ),
        ("tests/ledger/test_looking_at_changes.py",),
    ),
    Bug(
        "a sweep trusts its mark in a Temporal that has lost everything",
        (
            Edit(
                "activities/reconciliation.py",
                "        if mark is None or not await self._remembers(mark):\n",
                "        if mark is None:\n",
            ),
        ),
        ("tests/workflows/test_sweep.py",),
    ),
    Bug(
        "a phone's codes of a day are counted and not limited",
        (
            Edit(
                "ledger/code_limits.py",
                "DO UPDATE SET used = counted.used + 1 WHERE counted.used < %(most)s::integer",
                "DO UPDATE SET used = counted.used + 1 WHERE true OR counted.used < %(most)s::integer",
            ),
        ),
        ("tests/ledger/test_code_limits.py",),
    ),
    Bug(
        "a rotation rewrites rows without their locks",
        (
            Edit(
                "ledger/rotation.py",
                "                        .with_for_update(key_share=True, skip_locked=True)\n",
                "",
            ),
        ),
        ("tests/ledger/test_rotation.py",),
    ),
)
