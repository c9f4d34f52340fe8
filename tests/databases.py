"""A database of its own for each test: a copy of one that was migrated once."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.postgres import APP_ROLE, DATABASE, OWNER_ROLE, Postgres

ROOT = Path(__file__).parent.parent

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Database:
    """Where a test finds its database: as the application, and as the owner of the schema."""

    name: str
    app_url: str
    owner_url: str


def migrate(postgres: Postgres) -> None:
    """Brings the server's database to the newest schema and fills the calendar, as production does."""
    for command, variable, role in (
        (("alembic", "upgrade", "head"), "WITHDRAWALS_MIGRATION_DATABASE_URL", OWNER_ROLE),
        (("ledger.calendar",), "WITHDRAWALS_DATABASE_URL", APP_ROLE),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=os.environ | {variable: postgres.url(role)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def copied_database(postgres: Postgres) -> Iterator[Database]:
    """A fresh copy of the migrated database; dropped afterwards, whoever is still connected."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with postgres.connect("postgres") as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE} OWNER {OWNER_ROLE} STRATEGY file_copy")
    try:
        yield Database(name, postgres.url(APP_ROLE, name), postgres.url(OWNER_ROLE, name))
    finally:
        with postgres.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
