"""The audit chain covers every audited row once, whatever commits when, and notices whatever was changed since."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from domain.errors import InvariantBroken
from domain.withdrawal import Door, Status, Verb
from ledger import audit_chain, audit_verification
from ledger.audit_anchor import AnchorBroken, AnchorFile, read_anchors
from ledger.audit_chain import COLUMNS, AuditChain, Batch
from ledger.audit_tables import SEALED
from ledger.audit_verification import ChainBroken, Summary, verify
from ledger.database import Database
from ledger.instructions import Instructions
from ledger.invariants import violations
from ledger.key_events import KeyEvents
from ledger.rows import Happening, read_withdrawal, record
from stack.postgres import Postgres
from tests import databases
from tests.ledger.stories import HUGE, Ledger, Stories

Hand = Callable[[str], None]


@pytest.fixture
def hand(migrated_postgres: Postgres, database: databases.Database) -> Iterator[Hand]:
    """A superuser whom no trigger stops."""
    with migrated_postgres.connect(database.name) as connection:
        connection.execute("SET session_replication_role = replica")

        def does(statement: str) -> None:
            assert connection.execute(statement).rowcount > 0, "the hand found nothing to change"

        yield does


@pytest.fixture
def anchor(tmp_path: Path) -> AnchorFile:
    """A file with a key of its own."""
    return AnchorFile(tmp_path / "anchors.jsonl", Ed25519PrivateKey.generate())


def anchors_of(anchor: AnchorFile) -> list[Any]:
    """What was signed."""
    return list(read_anchors(anchor.path, [anchor.key.public_key()]))


def seal(ledger: Ledger, stories: Stories, anchor: AnchorFile | None = None) -> Batch:
    """Everything so far, in one batch."""
    batch = AuditChain(ledger.database).seal(now=stories.now)
    assert batch is not None
    if anchor is not None:
        assert anchor.anchor(batch, now=stories.now)
    return batch


def verified(ledger: Ledger, anchor: AnchorFile) -> Summary:
    """The whole walk, against what was anchored."""
    return verify(ledger.database, anchors_of(anchor))


def tell_of_everything(ledger: Ledger) -> Stories:
    """At least one row in each of the audited tables."""
    stories = Stories(ledger)
    withdrawal_id = stories.bring_to(Status.AWAITING_APPROVAL, amount=HUGE)
    stories.decide(withdrawal_id, "finance-1")
    stories.decide(withdrawal_id, "finance-2")
    Instructions(ledger.database).record(withdrawal_id, Verb.CANCEL, "customer", now=stories.now)
    stories.resolve(stories.bring_to(Status.UNDER_REVIEW), "paid")
    KeyEvents(ledger.database).record("made_current", "k1", by="test", now=stories.now)
    return stories


def count_everything(database: Database) -> int:
    """Rows in the audited tables."""
    query = " UNION ALL ".join(f"SELECT count(*) AS n FROM {table.name}" for table in SEALED)
    with database.transaction() as connection:
        return int(connection.execute(text(f"SELECT sum(n) FROM ({query}) counted")).scalar_one())


def test_every_column_of_every_audited_table_is_sealed() -> None:
    """Whoever adds a column finds that the chain has to learn of it."""
    assert {table: set(columns) for table, columns in COLUMNS.items()} == {
        table.name: set(table.columns.keys()) for table in SEALED
    }
    assert all(columns[-1] == "written_in" for columns in COLUMNS.values())


def test_a_whole_chain_covers_every_row_once(own_ledger: Ledger, anchor: AnchorFile) -> None:
    """Batch after batch, linked, and nothing new makes no batch."""
    stories = tell_of_everything(own_ledger)
    first = seal(own_ledger, stories, anchor)
    assert AuditChain(own_ledger.database).seal(now=stories.now) is None
    assert set(json.loads(first.digests)) == set(COLUMNS)
    stories.bring_to(Status.PAID)
    second = seal(own_ledger, stories, anchor)
    assert (second.seq, second.previous, second.from_xid) == (2, first.hash, first.to_xid)
    stories.bring_to(Status.CANCELLED)
    summary = verified(own_ledger, anchor)
    assert (summary.batches, summary.anchors, summary.anchored_up_to) == (2, 2, 2)
    assert summary.unsealed > 0
    assert summary.rows + summary.unsealed == count_everything(own_ledger.database)
    assert violations(own_ledger.database) == []


def test_a_late_commit_with_a_lower_id_is_not_skipped(own_ledger: Ledger, anchor: AnchorFile) -> None:
    """The slow transaction drew its ids first and commits after the quick one was there to be sealed."""
    stories = Stories(own_ledger)
    slow_one, quick_one = stories.bring_to(Status.PROCESSING), stories.bring_to(Status.PROCESSING)
    seal(own_ledger, stories, anchor)

    def happening(kind: str) -> Happening:
        return Happening(kind, "test", Door.WORKFLOW, stories.now)

    chain = AuditChain(own_ledger.database)
    with own_ledger.database.transaction() as slow:
        record(slow, read_withdrawal(slow, slow_one), happening("slow"))
        with own_ledger.database.transaction() as quick:
            record(quick, read_withdrawal(quick, quick_one), happening("quick"))
        while_slow = chain.seal(now=stories.now)
        assert while_slow is None or "withdrawal_events" not in json.loads(while_slow.digests)
    assert json.loads(seal(own_ledger, stories, anchor).digests)["withdrawal_events"]["rows"] == 2
    summary = verified(own_ledger, anchor)
    assert (summary.unsealed, summary.rows) == (0, count_everything(own_ledger.database))


def test_writers_and_sealers_at_once_skip_nothing(own_ledger: Ledger, anchor: AnchorFile) -> None:
    """Eight write, two seal as fast as they can: in the end every row is in one batch, and the chain is whole."""
    told = [Stories(own_ledger) for _ in range(8)]
    chain, over = AuditChain(own_ledger.database), threading.Event()

    def write(number: int) -> None:
        for turn in range(12):
            account_id = f"acct_{number}_{turn}"
            told[number].register(account_id)
            own_ledger.accounts.top_up(account_id, "opening", 1000_00, now=told[number].now)
            own_ledger.accounts.charge(account_id, "usage", 1_00, now=told[number].now)

    def seal_on() -> None:
        while not over.is_set():
            chain.seal(now=told[0].now)

    with ThreadPoolExecutor(10) as threads:
        sealers = [threads.submit(seal_on) for _ in range(2)]
        for writer in [threads.submit(write, number) for number in range(8)]:
            writer.result()
        over.set()
        for sealer in sealers:
            sealer.result()
    chain.seal(now=told[0].now)
    head = chain.head()
    assert head is not None
    assert head.seq > 3, "they did take turns"
    anchor.anchor(head, now=told[0].now)
    summary = verified(own_ledger, anchor)
    assert (summary.unsealed, summary.rows) == (0, count_everything(own_ledger.database))
    assert summary.rows == 8 * 12 * (1 + 2 * 1 + 2 * 2)


def test_no_customer_waits_for_the_seal(own_ledger: Ledger) -> None:
    """While a batch is being sealed money moves, and the other way round."""
    stories = tell_of_everything(own_ledger)
    with own_ledger.database.transaction() as sealing:
        sealing.execute(text("SELECT pg_advisory_xact_lock(727003)"))
        for table in COLUMNS:
            with audit_chain.rows_of(sealing, table) as rows:
                assert rows.first() is not None
        stories.bring_to(Status.PAID)
        assert AuditChain(own_ledger.database).seal(now=stories.now) is None, "one at a time, without waiting"


_CHANGES = {
    "account_changes": "UPDATE account_changes SET actor = 'nobody' WHERE id = 1",
    "decisions": "UPDATE decisions SET approver = 'somebody else' WHERE approver = 'finance-1'",
    "instructions": "UPDATE instructions SET actor = 'somebody else'",
    "key_events": "DELETE FROM key_events",
    "postings": "UPDATE postings SET amount_fen = amount_fen * 2 WHERE transaction_id = 1",
    "resolutions": "UPDATE resolutions SET evidence = evidence || '.'",
    "transactions": "UPDATE transactions SET occurred_at = occurred_at + interval '1 microsecond' WHERE id = 1",
    "withdrawal_events": "DELETE FROM withdrawal_events WHERE id = (SELECT max(id) FROM withdrawal_events)",
}


@pytest.mark.parametrize("table", sorted(_CHANGES))
def test_a_row_that_was_changed_is_found(own_ledger: Ledger, hand: Hand, anchor: AnchorFile, table: str) -> None:
    """By whoever may do everything in the database; batch and table are named."""
    stories = tell_of_everything(own_ledger)
    seal(own_ledger, stories, anchor)
    verified(own_ledger, anchor)
    hand(_CHANGES[table])
    with pytest.raises(ChainBroken, match=f"^batch 1: the rows of {table} were changed"):
        verified(own_ledger, anchor)


def test_a_row_slipped_into_the_past_is_found(own_ledger: Ledger, hand: Hand, anchor: AnchorFile) -> None:
    """Dated back into a sealed batch, or given to a transaction that is yet to come."""
    stories = tell_of_everything(own_ledger)
    seal(own_ledger, stories, anchor)
    slipped = """INSERT INTO key_events (kind, key_id, actor, at, written_in)
                 SELECT 'retired', 'k0', 'nobody', now(), {} FROM audit_batches"""
    hand(slipped.format("to_xid - 1"))
    with pytest.raises(ChainBroken, match=r"rows of key_events were changed \(1 sealed, 2 found\)"):
        verified(own_ledger, anchor)
    hand("DELETE FROM key_events WHERE actor = 'nobody'")
    hand(slipped.format("to_xid + 1000000"))
    with pytest.raises(ChainBroken, match="a transaction that has not begun"):
        verified(own_ledger, anchor)


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("DELETE FROM audit_batches WHERE seq = 2", "batch 2 is missing"),
        ("UPDATE audit_batches SET digests = '{}' WHERE seq = 2", "batch 2 was changed"),
        ("UPDATE audit_batches SET sealed_at = sealed_at + interval '1 hour' WHERE seq = 2", "batch 2 was changed"),
        ("UPDATE audit_batches SET previous = hash WHERE seq = 2", "batch 2 does not hold the hash"),
        ("UPDATE audit_batches SET hash = previous WHERE seq = 1", "batch 1 was changed"),
    ],
)
def test_a_batch_that_was_changed_is_found(
    own_ledger: Ledger, hand: Hand, anchor: AnchorFile, statement: str, place: str
) -> None:
    """By the walk, and by the invariant that the sweep looks at, without any anchor."""
    stories = tell_of_everything(own_ledger)
    for _ in range(3):
        seal(own_ledger, stories, anchor)
        stories.bring_to(Status.CANCELLED)
    hand(statement)
    with pytest.raises(ChainBroken, match=place):
        verified(own_ledger, anchor)
    assert [violation.invariant for violation in violations(own_ledger.database)] == ["the audit chain is whole"]


def _forget_the_tail(hand: Hand) -> None:
    """The last batch goes with every row it sealed: what is left fits together."""
    for table in SEALED:
        hand(f"""WITH tail AS (SELECT from_xid FROM audit_batches ORDER BY seq DESC LIMIT 1)
                 , gone AS (DELETE FROM {table.name} WHERE written_in >= (SELECT from_xid FROM tail))
                 SELECT 1""")
    hand("DELETE FROM audit_batches WHERE seq = (SELECT max(seq) FROM audit_batches)")


def test_a_tail_that_was_cut_off_is_noticed_by_the_anchor(own_ledger: Ledger, hand: Hand, anchor: AnchorFile) -> None:
    """Rows and batches gone together leave a chain that is whole in itself, and shorter than what was signed."""
    stories = tell_of_everything(own_ledger)
    first = seal(own_ledger, stories, anchor)
    unanchored = anchors_of(anchor)
    stories.bring_to(Status.PAID)
    seal(own_ledger, stories, anchor)
    _forget_the_tail(hand)
    verify(own_ledger.database, unanchored)
    with pytest.raises(ChainBroken, match=r"batch 2 was anchored at .* and is gone"):
        verified(own_ledger, anchor)
    with pytest.raises(AnchorBroken, match="batch 2 was anchored, and the chain ends at 1"):
        anchor.anchor(first, now=stories.now)


def test_a_tail_that_was_told_anew_is_noticed_by_the_anchor(own_ledger: Ledger, hand: Hand, anchor: AnchorFile) -> None:
    """Whoever can do everything in the database makes a chain that fits; not one that was signed."""
    stories = tell_of_everything(own_ledger)
    seal(own_ledger, stories, anchor)
    stories.bring_to(Status.PAID)
    seal(own_ledger, stories, anchor)
    unanchored = anchors_of(anchor)[:1]
    _forget_the_tail(hand)
    stories.bring_to(Status.CANCELLED)
    seal(own_ledger, stories)
    verify(own_ledger.database, unanchored)
    with pytest.raises(ChainBroken, match="batch 2 is not the one that was anchored"):
        verified(own_ledger, anchor)


def test_a_chain_without_its_anchor_file_is_not_whole(own_ledger: Ledger) -> None:
    """Taking the file away is no way to be rid of it."""
    seal(own_ledger, tell_of_everything(own_ledger))
    with pytest.raises(ChainBroken, match="anchor file is missing"):
        verify(own_ledger.database, [])


def _three_anchors(own_ledger: Ledger, anchor: AnchorFile) -> list[bytes]:
    stories = tell_of_everything(own_ledger)
    for _ in range(3):
        seal(own_ledger, stories, anchor)
        stories.bring_to(Status.CANCELLED)
    assert len(anchors_of(anchor)) == 3
    return anchor.path.read_bytes().splitlines(keepends=True)


def test_a_forged_anchor_is_found(own_ledger: Ledger, anchor: AnchorFile) -> None:
    """Another hash, another key, a line left out, two in another order, a word too many: each is found, and where."""
    lines = _three_anchors(own_ledger, anchor)
    words = json.loads(lines[1])
    stranger = AnchorFile(anchor.path.with_name("stranger"), Ed25519PrivateKey.generate())
    head = AuditChain(own_ledger.database).head()
    assert head is not None
    stranger.anchor(head, now=Stories(own_ledger).now)

    def line(**changed: object) -> bytes:
        return json.dumps({**words, **changed}).encode() + b"\n"

    for forged, where in (
        ([lines[0], line(hash="00" * 32), lines[2]], "line 2 .* signature"),
        ([lines[0], line(at="2026-01-01T00:00:00+00:00"), lines[2]], "line 2 .* signature"),
        ([lines[0], lines[2]], "line 2 .* missing"),
        ([lines[1], lines[2]], "line 1 .* missing"),
        ([lines[0], lines[2], lines[1]], "line 2 .* missing"),
        ([*lines, lines[2]], "line 4 .* missing"),
        ([*lines, stranger.path.read_bytes()], "line 4 .* known key"),
        ([lines[0], line(more=1), lines[2]], "line 2 .* known key"),
        ([lines[0], b"rubbish\n", lines[2]], "no JSON"),
        ([lines[0], b"[]\n", lines[2]], "no JSON object"),
    ):
        anchor.path.write_bytes(b"".join(forged))
        with pytest.raises(AnchorBroken, match=where):
            anchors_of(anchor)


def test_a_line_that_a_crash_cut_short_never_counted(own_ledger: Ledger, anchor: AnchorFile) -> None:
    """It is not taken for a forged one, and the next anchor takes its place."""
    lines = _three_anchors(own_ledger, anchor)
    anchor.path.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    assert [one.seq for one in anchors_of(anchor)] == [1, 2]
    head = AuditChain(own_ledger.database).head()
    assert head is not None
    assert anchor.anchor(head, now=Stories(own_ledger).now)
    assert [one.seq for one in anchors_of(anchor)] == [1, 2, 3]
    assert not anchor.anchor(head, now=Stories(own_ledger).now), "the same head is anchored once"


def test_the_command_says_whole_or_where_it_is_broken(
    own_ledger: Ledger,
    database: databases.Database,
    hand: Hand,
    anchor: AnchorFile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`make audit-verify`: a summary and 0, or the first broken place and 1."""
    stories = tell_of_everything(own_ledger)
    seal(own_ledger, stories, anchor)
    public = anchor.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key_file = anchor.path.with_name("public.pem")
    key_file.write_bytes(public)
    monkeypatch.setenv("WITHDRAWALS_DATABASE_URL", database.app_url)
    monkeypatch.setenv("WITHDRAWALS_AUDIT_ANCHOR_FILE", str(anchor.path))
    monkeypatch.setenv("WITHDRAWALS_AUDIT_PUBLIC_KEY_FILE", str(key_file))
    assert audit_verification.main() == 0
    assert "is whole" in capsys.readouterr().out
    hand(_CHANGES["decisions"])
    assert audit_verification.main() == 1
    assert "batch 1: the rows of decisions were changed" in capsys.readouterr().err


def test_a_row_reads_as_the_same_bytes_everywhere(database: databases.Database, own_ledger: Ledger) -> None:
    """Neither the session's time zone nor its settings change what is hashed."""
    tell_of_everything(own_ledger)

    def lines(connection: Any) -> list[bytes]:
        return [audit_chain.line_of(row) for table in COLUMNS for row in audit_chain.rows_of(connection, table)]

    with closing(Database.connect(database.app_url)) as elsewhere:
        with elsewhere.transaction() as connection:
            for setting in ("timezone = 'Asia/Shanghai'", "datestyle = 'ISO, MDY'", "bytea_output = 'escape'"):
                connection.execute(text(f"SET LOCAL {setting}"))
            there = lines(connection)
        with own_ledger.database.transaction() as connection:
            assert lines(connection) == there


def test_transaction_numbers_that_went_back_are_told(own_ledger: Ledger, hand: Hand) -> None:
    """After a restore from a logical back-up the numbers begin anew: nothing would be sealed any more."""
    stories = tell_of_everything(own_ledger)
    seal(own_ledger, stories)
    hand("UPDATE audit_batches SET to_xid = to_xid + 1000000")
    with pytest.raises(InvariantBroken, match="restored without its transaction numbers"):
        AuditChain(own_ledger.database).seal(now=stories.now)


def test_what_billing_changes_is_recorded_without_a_name(own_ledger: Ledger) -> None:
    """Which fields, when and by whom; the same again is no change, and a phone that comes back shows as the same."""
    stories = Stories(own_ledger)
    stories.register("acct_1")
    stories.register("acct_1")
    stories.register("acct_1", subject_name="李四", suspended=True)
    stories.register("acct_1", phone=None)
    stories.register("acct_1")
    with own_ledger.database.transaction() as connection:
        rows = connection.execute(text("SELECT * FROM account_changes ORDER BY id")).mappings().all()
    assert [row["changed"] for row in rows] == [
        ["pay_as_you_use", "phone", "subject_name", "subject_type", "suspended", "verified"],
        ["subject_name", "suspended"],
        ["phone", "subject_name", "suspended"],
        ["phone"],
    ]
    assert rows[1]["facts"]["suspended"] is True
    assert rows[0]["phone_mac"] == rows[3]["phone_mac"]
    assert {row["actor"] for row in rows} == {"billing"}
    written = str([dict(row) for row in rows])
    assert "张三" not in written
    assert "李四" not in written
    assert "13812341234" not in written


def test_equal_names_of_two_accounts_do_not_show(own_ledger: Ledger) -> None:
    """The MACs are bound to the account: the record links nobody to anybody."""
    stories = Stories(own_ledger)
    stories.register("acct_1")
    stories.register("acct_2")
    with own_ledger.database.transaction() as connection:
        names, phones = zip(
            *connection.execute(text("SELECT subject_name_mac, phone_mac FROM account_changes")), strict=True
        )
    assert len(set(names)) == len(set(phones)) == 2


def test_a_long_transaction_only_makes_the_seal_wait(own_ledger: Ledger, hand: Hand, anchor: AnchorFile) -> None:
    """Nothing is skipped and nothing is sealed too early; the batch comes once it has ended."""
    stories = tell_of_everything(own_ledger)
    chain = AuditChain(own_ledger.database)
    with own_ledger.database.transaction() as long_one:
        long_one.execute(text("SELECT pg_current_xact_id()"))
        stories.bring_to(Status.PAID)
        chain.seal(now=stories.now)
        stories.pass_time(minutes=1)
        assert chain.seal(now=stories.now + timedelta(minutes=1)) is None
    head = seal(own_ledger, stories, anchor)
    assert verified(own_ledger, anchor) == Summary(head.seq, count_everything(own_ledger.database), 0, 1, head.seq)
