"""A database with rows in it is brought to the newest schema, and what was there before is sealed as well."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from ledger.audit_chain import AuditChain
from ledger.audit_verification import verify
from ledger.database import Database
from ledger.invariants import violations
from stack.postgres import OWNER_ROLE, Postgres
from tests import databases
from tests.ledger.stories import NOW

_ROWS = """
    INSERT INTO accounts VALUES ('acct_1', 'person', 'x', true, NULL, NULL, false, false, now());
    INSERT INTO balances (account_id, available) VALUES ('acct_1', 100);
    INSERT INTO transactions (operation_key, kind, account_id, occurred_at) VALUES ('one', 'top_up', 'acct_1', now());
    INSERT INTO postings VALUES (1, 1, 'funding', NULL, -100), (1, 2, 'available', 'acct_1', 100);
"""


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[databases.Database]:
    """Nothing in it, not even a table."""
    name = f"upgraded_{os.getpid()}"
    with postgres.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE}")
    try:
        yield databases.Database(name, postgres.url(database=name), postgres.url(OWNER_ROLE, name))
    finally:
        with postgres.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def upgrade(database: databases.Database, to: str) -> None:
    """As operators do it."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", to],
        cwd=databases.ROOT,
        env=os.environ | {"WITHDRAWALS_MIGRATION_DATABASE_URL": database.owner_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_rows_from_before_the_chain_are_sealed_with_its_first_batch(empty: databases.Database) -> None:
    """The append-only tables are filled already, and stay append-only while a column is added."""
    upgrade(empty, "0004")
    with closing(Database.connect(empty.owner_url)) as owner, owner.transaction() as connection:
        connection.execute(text(_ROWS))
    upgrade(empty, "head")
    with closing(Database.connect(empty.app_url)) as app:
        batch = AuditChain(app).seal(now=NOW)
        assert batch is not None
        assert '"postings":{"rows":2,' in batch.digests
        assert violations(app) == []
        with pytest.raises(Exception, match="anchor file is missing"):
            verify(app, [])
