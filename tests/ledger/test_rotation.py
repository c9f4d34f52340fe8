"""Field keys are rotated while processes run: nothing unreadable in between, nothing lost, nothing left behind."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from domain.withdrawal import Status
from ledger import rotation
from ledger.applications import FirstAnswer
from ledger.database import Database
from ledger.encryption import Undecipherable, UnknownKey, key_prefix
from ledger.kept_keys import KeptKeys, KeyRingFile, KeyRingInEnvironment, read_ring
from ledger.key_events import KeyEvents
from ledger.reads import RecordFilter
from ledger.rotation import SEALED_COLUMNS, Rewriting, RingFile, rotate, wait_for_transactions
from ledger.tables import metadata
from settings import Settings
from tests import databases
from tests.ledger.stories import NOW, Ledger, Stories

_HERE = {"column": "accounts.phone", "row": "acct_1"}


def _ring(**more: bytes) -> dict[str, Any]:
    keys = {"k1": bytes(range(32)), **more}
    return {
        "field_keys": {key_id: base64.b64encode(key).decode() for key_id, key in keys.items()},
        "current_field_key": max(keys),
        "code_key": base64.b64encode(bytes(range(64, 96))).decode(),
    }


@pytest.fixture
def ring_file(tmp_path: Path) -> RingFile:
    """A ring with one key."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(_ring()))
    path.chmod(0o600)
    return RingFile(path)


@pytest.fixture
def process(database: databases.Database, ring_file: RingFile) -> Iterator[Ledger]:
    """What a process of the stack has: a ring that it reads by itself, and a database of its own."""
    with closing(Database.connect(database.app_url, pool_size=20)) as connected:
        yield Ledger.on(connected, KeptKeys(KeyRingFile(ring_file.path)))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody in these tests holds a value that was read for as long as that."""
    monkeypatch.setattr(rotation, "READ_GRACE_S", 0.2)


def _key_ids(database: Database) -> dict[str, set[str]]:
    """Under which keys values lie, by table."""
    found = {}
    with database.transaction() as connection:
        for table, columns in SEALED_COLUMNS.items():
            query = " UNION ".join(f"SELECT {c} AS v FROM {table.name} WHERE {c} IS NOT NULL" for c in columns)
            values = [bytes(value) for value in connection.execute(text(query)).scalars()]
            found[table.name] = {value[1 : 1 + value[0]].decode() for value in values}
    return found


def _tell(process: Ledger) -> tuple[Stories, str]:
    """Something in every column that is sealed, and the account with a key that was answered."""
    stories = Stories(process)
    for status in Status:
        stories.bring_to(status)
    account_id = stories.open_account()
    process.applications.apply(stories.application(account_id, 500_00, key="mine"), now=stories.now)
    process.applications.remember(account_id, "mine", FirstAnswer(201, {"name": "张三"}))
    return stories, account_id


def test_every_sealed_column_is_rewritten(process: Ledger) -> None:
    """Every bytea column that holds no MAC and no hash: whoever adds one finds that a rotation has to know it."""
    sealed = {(table.name, name) for table, names in SEALED_COLUMNS.items() for name in names}
    binary = {
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if str(column.type) == "BLOB"
    }
    others = {
        *(("verifications", "code_mac"), ("idempotency_keys", "body_digest")),
        *(("account_changes", "subject_name_mac"), ("account_changes", "phone_mac")),
        *(("audit_batches", "previous"), ("audit_batches", "hash")),
    }
    assert binary - others == sealed


def test_a_rotation_leaves_nothing_under_the_old_key(process: Ledger, ring_file: RingFile) -> None:
    """One command: a new key, every value under it, the old one out of the ring and kept beside it, all on record."""
    stories, account_id = _tell(process)
    assert _key_ids(process.database) == {table.name: {"k1"} for table in SEALED_COLUMNS}
    assert rotate(process.database, ring_file, by="ops") == 0
    ring = json.loads(ring_file.path.read_text())
    current = ring["current_field_key"]
    assert list(ring["field_keys"]) == [current] != ["k1"]
    assert _key_ids(process.database) == {table.name: {current} for table in SEALED_COLUMNS}
    assert set(json.loads(ring_file.retired.read_text())) == {"k1"}
    assert [oct(file.stat().st_mode & 0o777) for file in (ring_file.path, ring_file.retired)] == ["0o600"] * 2
    with process.database.transaction() as connection:
        events = connection.execute(text("SELECT kind, key_id, actor FROM key_events ORDER BY id")).all()
    assert events == [("made_current", current, "ops"), ("rewritten", current, "ops"), ("retired", "k1", "ops")]
    # The process that ran all along reads everything, and has no use for the old key.
    assert {record.account_name for record in process.reads.withdrawals(RecordFilter(), limit=50)} == {"张三"}
    again = process.applications.apply(stories.application(account_id, 500_00, key="mine"), now=stories.now)
    assert again == FirstAnswer(201, {"name": "张三"})


def test_a_rotation_while_everybody_writes(process: Ledger, ring_file: RingFile, database: databases.Database) -> None:
    """Two processes register, apply and read without a pause; three rotations, and not one value is lost."""
    over = threading.Event()

    def live(number: int, ledger: Ledger) -> int:
        stories, turn = Stories(ledger, _numbers=count(number * 1_000_000)), 0
        while not over.is_set() or turn < 5:
            account_id = f"acct_{number}_{turn % 7}"
            stories.register(account_id, subject_name=f"张三{turn}", phone=f"139{turn % 10_000:04}1234")
            ledger.accounts.top_up(account_id, f"t{turn}", 1000_00, now=stories.now)
            card = stories.application(account_id, 500_00).card
            named = type(card)(f"张三{turn}", card.bank_name, card.branch_name, card.card_number)
            withdrawal_id = stories.apply(account_id, card=named)
            assert stories.send_code(withdrawal_id)
            assert ledger.reads.withdrawal(withdrawal_id).account_name == f"张三{turn}"
            stories.cancel(withdrawal_id)
            turn += 1
        return turn

    with closing(Database.connect(database.app_url, pool_size=20)) as other_database, ThreadPoolExecutor(6) as threads:
        other = Ledger.on(other_database, KeptKeys(KeyRingFile(ring_file.path)))
        living = [threads.submit(live, number, (process, other)[number % 2]) for number in range(6)]
        try:
            for _ in range(3):
                assert rotate(process.database, ring_file, by="ops") == 0
        finally:
            over.set()
        assert all(life.result() >= 5 for life in living)
    current = json.loads(ring_file.path.read_text())["current_field_key"]
    assert set.union(*_key_ids(process.database).values()) == {current}
    fresh = Ledger.on(process.database, KeptKeys(KeyRingFile(ring_file.path)))
    for record in fresh.reads.withdrawals(RecordFilter(), limit=100):
        assert record.account_name.startswith("张三")


def test_a_value_that_does_not_open_keeps_its_key(
    process: Ledger, ring_file: RingFile, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, everything else is rewritten, and the old key stays in the ring until somebody has looked."""
    stories = Stories(process)
    broken = stories.open_account()
    stories.open_account()
    with process.database.transaction() as connection:
        connection.execute(
            text("UPDATE accounts SET phone = phone || '\\x00'::bytea WHERE account_id = :id"), {"id": broken}
        )
    assert rotate(process.database, ring_file, by="ops") == 1
    assert f"accounts {broken}" in capsys.readouterr().err
    assert "k1" in json.loads(ring_file.path.read_text())["field_keys"]
    assert process.moves.keys.decrypt(_phone(process, "acct_2"), column="accounts.phone", row="acct_2")
    stories.register(broken)
    before = json.loads(ring_file.path.read_text())["current_field_key"]
    assert rotate(process.database, ring_file, by="ops", add=False) == 0
    assert list(json.loads(ring_file.path.read_text())["field_keys"]) == [before]


def _phone(process: Ledger, account_id: str) -> bytes:
    query = text("SELECT phone FROM accounts WHERE account_id = :id")
    with process.database.transaction() as connection:
        return bytes(connection.execute(query, {"id": account_id}).scalar_one())


def test_a_key_stays_while_a_transaction_from_before_goes_on(process: Ledger, ring_file: RingFile) -> None:
    """It may be about to write a value under the old key."""
    with process.database.transaction() as slow:
        slow.execute(text("SELECT 1"))
        assert not wait_for_transactions(process.database, patience_s=0.3)
        assert rotate(process.database, ring_file, by="ops", patience_s=0.3) == 1
        assert "k1" in json.loads(ring_file.path.read_text())["field_keys"]
    assert rotate(process.database, ring_file, by="ops", add=False) == 0
    assert "k1" not in json.loads(ring_file.path.read_text())["field_keys"]


def test_two_rotations_do_not_meet(process: Ledger, ring_file: RingFile) -> None:
    """The second one ends before it touches the ring."""
    before = ring_file.path.read_text()
    with process.database.engine.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(727004)"))
        with pytest.raises(SystemExit):
            rotate(process.database, ring_file, by="ops")
        other.execute(text("SELECT pg_advisory_unlock(727004)"))
    assert ring_file.path.read_text() == before


def test_a_row_that_somebody_writes_is_not_overwritten(process: Ledger, ring_file: RingFile) -> None:
    """The rewriting skips it, comes back, and finds what was written meanwhile."""
    stories = Stories(process)
    account_id = stories.open_account()
    ring_file.make_current()
    rewriting = Rewriting(process.database, KeptKeys(KeyRingFile(ring_file.path)))
    with ThreadPoolExecutor(1) as thread, process.database.transaction() as busy:
        busy.execute(text("SELECT FROM accounts WHERE account_id = :id FOR UPDATE"), {"id": account_id})
        done = thread.submit(rewriting.rewrite_all)
        time.sleep(0.5)  # Long enough for a rewriting without locks to have read the value that is about to go.
        busy.execute(
            text("UPDATE accounts SET phone = :phone WHERE account_id = :id"),
            {"id": account_id, "phone": process.keys.encrypt("13900000000", column="accounts.phone", row=account_id)},
        )
        busy.commit()
        assert done.result(20).rows == 1
    opened = process.keys.decrypt(_phone(process, account_id), column="accounts.phone", row=account_id)
    assert opened == "13900000000"


def test_a_new_key_is_taken_up_without_a_restart(ring_file: RingFile) -> None:
    """For writing at once, and for reading what another process wrote with it a moment ago."""
    one, other = (KeptKeys(KeyRingFile(ring_file.path)) for _ in range(2))
    old = one.encrypt("13812341234", **_HERE)
    key_id = ring_file.make_current()
    new = other.encrypt("13812341234", **_HERE)
    assert new.startswith(key_prefix(key_id))
    assert one.decrypt(new, **_HERE) == one.decrypt(old, **_HERE) == "13812341234"
    assert one.encrypt("x", **_HERE).startswith(key_prefix(key_id))
    ring_file.retire_others()
    with pytest.raises(UnknownKey, match="'k1'"):
        one.decrypt(old, **_HERE)


def test_a_ring_that_cannot_be_read_leaves_the_one_that_was(ring_file: RingFile) -> None:
    """A file that is gone for a moment, or that somebody spoilt, stops nobody; it is read again once it is right."""
    keys = KeptKeys(KeyRingFile(ring_file.path))
    content = ring_file.path.read_text()
    for spoilt in ("", "{}", "[]", content[:-9], content.replace('"k1": "', '"k1": "!')):
        ring_file.path.write_text(spoilt)
        assert keys.decrypt(keys.encrypt("13812341234", **_HERE), **_HERE) == "13812341234"
    ring_file.path.unlink()
    assert keys.encrypt("x", **_HERE).startswith(key_prefix("k1"))
    ring_file.path.write_text(json.dumps(_ring(k2=bytes(32))))
    assert keys.encrypt("x", **_HERE).startswith(key_prefix("k2"))


@pytest.mark.parametrize("content", ["", "{}", "[]", '"ring"', '{"field_keys": {}}', '{"field_keys": 1}'])
def test_what_is_no_ring_is_refused_without_quoting_it(content: str, tmp_path: Path) -> None:
    """At the start of a process there is no other one to go on with."""
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"."):
        KeptKeys(KeyRingFile(path))
    with pytest.raises(ValueError, match=r"."):
        read_ring(content)


def test_a_ring_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no file; neither repr shows a key, and without either there is none."""
    for name in ("DATABASE_URL", "BANK_URL", "SMS_URL", "JWT_ISSUER", "JWT_AUDIENCE", "JWKS_URL"):
        monkeypatch.setenv(f"WITHDRAWALS_{name}", "x")
    monkeypatch.setenv("WITHDRAWALS_BANK_WEBHOOK_SECRETS", "x")
    monkeypatch.delenv("WITHDRAWALS_KEY_FILE", raising=False)
    with pytest.raises(ValueError, match="WITHDRAWALS_KEYS"):
        Settings().key_ring()
    monkeypatch.setenv("WITHDRAWALS_KEYS", json.dumps(_ring()))
    settings = Settings()
    keys = settings.key_ring()
    assert keys.decrypt(keys.encrypt("张三", **_HERE), **_HERE) == "张三"
    secret = _ring()["field_keys"]["k1"]
    source = KeyRingInEnvironment(json.dumps(_ring()))
    assert secret not in f"{settings!r} {keys!r} {source!r}"


def test_ids_of_keys_never_come_again(ring_file: RingFile) -> None:
    """A back-up's value names its key by id: two keys of one id would make it unreadable for ever."""
    assert len({ring_file.make_current() for _ in range(20)}) == 20
    ring_file.retire_others()
    assert len(json.loads(ring_file.retired.read_text())) == 20
    assert not list(ring_file.path.parent.glob("*.new"))


def test_a_process_says_which_keys_it_holds(process: Ledger, ring_file: RingFile) -> None:
    """The current one and those it can open, in the audit; a database that is away keeps nobody from starting."""
    ring_file.make_current()
    ring = KeyRingFile(ring_file.path).read()
    KeyEvents(process.database).taken_up(ring, by="worker", now=NOW)
    with process.database.transaction() as connection:
        [event] = connection.execute(text("SELECT kind, key_id, actor, data FROM key_events")).all()
    assert event == ("taken_up", ring.current_field_key, "worker", {"can_open": sorted(["k1", ring.current_field_key])})
    with closing(Database.connect("postgresql+psycopg://nobody@127.0.0.1:9/nothing")) as away:
        KeyEvents(away).taken_up(ring, by="worker", now=NOW)


def test_undecipherable_covers_an_unknown_key() -> None:
    """Whoever catches the one catches the other."""
    assert issubclass(UnknownKey, Undecipherable)
