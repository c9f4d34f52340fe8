"""The moves of the money against pgbench, which sends the same SQL and does nothing else.

Ours are the ledger's own calls from eight threads in two processes, as two workers make them; pgbench has eight
connections as well, and its script is what one real call of ours was seen to send. PostgreSQL keeps every promise:
fsync is on. Each move is of another withdrawal, which is counted afterwards on both sides, and at the end every
invariant of the ledger holds.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from sqlalchemy import event

from bench.movers import MOVES, NOW, Job, Movers, Parts, keys_of
from bench.notebook import Notebook, Race, Ratio, Target
from bench.withdrawals import Batch, prepare
from ledger.database import Database
from ledger.invariants import violations
from stack.local import ROOT
from stack.postgres import APP_ROLE, OWNER_ROLE, Postgres, binaries

CONNECTIONS = 8
_PARAMETER = re.compile(r"%\((\w+)\)s")
MOVES_A_MEASURE, MOVES_A_MEASURE_SHORT, TO_WARM_UP = 2_400, 600, 160
"""Each the same for every connection: pgbench does whole turns only."""


class NotTheSame(Exception):
    """The two sides did not do the same work, or the ledger is not whole: the figures mean nothing."""


def measure(notebook: Notebook, *, short: bool) -> None:
    """Freeze, settle and unfreeze: many accounts first, then one hot account."""
    each = MOVES_A_MEASURE_SHORT if short else MOVES_A_MEASURE
    with _server() as postgres, contextlib.closing(Database.connect(postgres.url(APP_ROLE))) as database:
        keys = secrets.token_bytes(64)
        with Movers.running(postgres.url(APP_ROLE), keys, CONNECTIONS) as movers:
            table = Table(postgres, movers, keys, each)
            for move in MOVES:
                replace(table, each=TO_WARM_UP).ours(move, hot=False, cpu=[])
                _race(notebook, table, move, hot=False)
            with postgres.connect() as superuser:
                # One account has one open application at a time. What several at once would cost is asked here.
                superuser.execute("DROP INDEX withdrawals_one_open")
            for move in MOVES:
                _race(notebook, table, move, hot=True)
        broken = violations(database)
        if broken:
            raise NotTheSame(f"after the moves does not hold: {', '.join(one.invariant for one in broken)}")
        notebook.fact("the ledger's invariants that do not hold after the moves", [len(broken)], "", Target(at_most=0))


def _race(notebook: Notebook, table: Table, move: str, *, hot: bool) -> None:
    where = "one hot account" if hot else "many accounts"
    cpu: list[float] = []
    notebook.race(
        Race(
            f"{move}, {where}",
            "moves a second",
            {
                "ours": partial(table.ours, move, hot=hot, cpu=cpu),
                "pgbench": partial(table.pgbench, move, hot=hot),
            },
            [Ratio(f"{move}, {where}: ours by pgbench", "ours", "pgbench", Target(at_least=0.5))],
        )
    )
    notebook.fact(f"{move}, {where}: Python's CPU", cpu, "µs a move")


@contextlib.contextmanager
def _server() -> Iterator[Postgres]:
    """A PostgreSQL that keeps its promises, with the schema and the calendar, thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-moves-") as folder:
        # PostgreSQL's unprivileged user passes through it.
        Path(folder).chmod(0o711)
        with Postgres.running(Path(folder) / "postgres", durable=True) as postgres:
            environment = os.environ | {
                "WITHDRAWALS_DATABASE_URL": postgres.url(APP_ROLE),
                "WITHDRAWALS_MIGRATION_DATABASE_URL": postgres.url(OWNER_ROLE),
            }
            for command in (["alembic", "upgrade", "head"], ["ledger.calendar"]):
                subprocess.run(
                    [sys.executable, "-m", *command], cwd=ROOT, env=environment, check=True, capture_output=True
                )
            yield postgres


@dataclass
class Table:
    """Where both sides find withdrawals to move; each measure has new ones."""

    postgres: Postgres
    movers: Movers
    keys: bytes
    each: int
    _first: Iterator[int] = field(default_factory=lambda: count(10**9, 10**6))

    def ours(self, move: str, *, hot: bool, cpu: list[float]) -> float:
        """The ledger's calls, in moves a second."""
        batch = self._batch(move, hot=hot)
        took, spent = self.movers.work(Job(move, batch.first, batch.count))
        cpu.append(spent / batch.count * 1e6)
        self._check(batch, move)
        return batch.count / took

    def pgbench(self, move: str, *, hot: bool) -> float:
        """The same statements, in moves a second."""
        batch = self._batch(move, hot=hot, more=1)
        script = Script.of(self._seen(move, batch), batch)
        with tempfile.TemporaryDirectory(prefix="pgbench-") as folder:
            file = Path(folder) / "move.sql"
            file.write_text(script.text, "utf-8")
            a_second = _pgbench(self.postgres, file, script.constants, batch.count // CONNECTIONS)
        self._check(batch, move)
        return a_second

    def _batch(self, move: str, *, hot: bool, more: int = 0) -> Batch:
        """Withdrawals from where the move starts; ``more`` beyond those that are counted, for the one that is seen."""
        batch = Batch(next(self._first), self.each, hot=hot, frozen=move != "freeze")
        with psycopg.connect(_plain(self.postgres.url(APP_ROLE))) as connection:
            prepare(connection, keys_of(self.keys), batch, more=more, now=NOW)
        with self.postgres.connect() as superuser:
            superuser.execute("VACUUM ANALYZE")
            superuser.execute("CHECKPOINT")
        return batch

    def _seen(self, move: str, batch: Batch) -> list[tuple[str, dict[str, Any]]]:
        """What a real call of the move sends between BEGIN and COMMIT, about the withdrawal after the batch."""
        seen: list[tuple[str, dict[str, Any]]] = []

        class Watched(psycopg.Cursor[Any]):
            def execute(self, query: Any, params: Any = None, **options: Any) -> Watched:
                seen.append((str(query), dict(params or {})))
                super().execute(query, params, **options)
                return self

        def watch(driver: Any, _: object) -> None:
            driver.cursor_factory = Watched

        with contextlib.closing(Database.connect(self.postgres.url(APP_ROLE), pool_size=1)) as database:
            event.listen(database.engine, "connect", watch)
            parts = Parts.on(database, keys_of(self.keys))
            with database.transaction():
                pass
            seen.clear()  # Whatever SQLAlchemy asks a new connection is no part of a move.
            MOVES[move].make(parts, batch.id_of(batch.first + batch.count))
        return seen

    def _check(self, batch: Batch, move: str) -> None:
        ids = [batch.id_of(number) for number in range(batch.first, batch.first + batch.count)]
        query = """
            SELECT count(*) FROM withdrawals w WHERE id = ANY(%s) AND status = %s
              AND EXISTS (SELECT FROM transactions t WHERE t.withdrawal_id = w.id AND t.kind = %s)"""
        with psycopg.connect(_plain(self.postgres.url(APP_ROLE))) as connection:
            row = connection.execute(query, (ids, MOVES[move].ends, move)).fetchone()
        if row is None or row[0] != batch.count:
            raise NotTheSame(f"{move}: {row and row[0]} of {batch.count} withdrawals were moved")


@dataclass(frozen=True)
class Script:
    """A move for pgbench: the statements as they were seen, about another withdrawal each time."""

    text: str
    constants: dict[str, str]

    @classmethod
    def of(cls, seen: list[tuple[str, dict[str, Any]]], batch: Batch) -> Script:
        """The withdrawal's id and its account's follow from a number that each client counts up; the rest stays."""
        constants = {"first": str(batch.first), "clients": str(CONNECTIONS), "turn": "-1"}
        number = batch.first + batch.count
        told = {
            str(batch.id_of(number)): "lpad(:number::text, 32, '0')::uuid::text",
            batch.id_of(number).hex: "lpad(:number::text, 32, '0')",
        }
        if not batch.hot:
            told[batch.account_of(number)] = f"('{batch.account_prefix}' || :number::text)"
        varying = re.compile("|".join(re.escape(word) for word in told))
        dumped = Transformer()

        def constant(value: str) -> str:
            name = f"c{len(constants)}"
            constants[name] = value
            return f":{name}"

        def in_words(value: object) -> str:
            if value is None:
                return "NULL"
            dumper = dumped.get_dumper(value, PyFormat.TEXT)
            raw = bytes(dumper.dump(value) or b"").decode()
            parts: list[str] = []
            at = 0
            for found in varying.finditer(raw):
                parts += [constant(raw[at : found.start()])] if found.start() > at else []
                parts.append(told[found.group()])
                at = found.end()
            parts += [constant(raw[at:])] if at < len(raw) or not parts else []
            return f"({' || '.join(parts)})"

        lines = ["\\set turn :turn + 1", "\\set number :first + :client_id + :turn * :clients", "BEGIN;"]
        for statement, parameters in seen:
            told_apart = {name: in_words(value) for name, value in parameters.items()}
            lines.append(_PARAMETER.sub(partial(_in_its_place, told_apart), statement).strip() + ";")
        return cls("\n".join([*lines, "COMMIT;", ""]), constants)


def _in_its_place(words: dict[str, str], name: re.Match[str]) -> str:
    return words[name[1]]


def _pgbench(postgres: Postgres, script: Path, constants: dict[str, str], turns: int) -> float:
    """Eight clients, each statement prepared once a connection, as ours are; transactions a second."""
    url = psycopg.conninfo.conninfo_to_dict(_plain(postgres.url(APP_ROLE)))
    done = subprocess.run(
        [
            str(binaries() / "pgbench"),
            *("--no-vacuum", "--protocol=prepared", f"--file={script}", f"--client={CONNECTIONS}", "--jobs=1"),
            *(f"--transactions={turns}", f"--host={url['host']}", f"--port={url['port']}", f"--username={url['user']}"),
            *(f"--define={name}={value}" for name, value in constants.items()),
            str(url["dbname"]),
        ],
        env=os.environ | {"PGPASSWORD": str(url["password"]), "PGTZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^tps = ([0-9.]+) \(without initial connection time\)", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        raise NotTheSame(f"pgbench could not make the move:\n{done.stderr}")
    return float(found.group(1))


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")
