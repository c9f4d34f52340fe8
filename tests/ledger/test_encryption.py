"""Personal data opens only with the right key, in the row and column it was written for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from domain.withdrawal import Status
from ledger.encryption import KeyRing, Undecipherable
from tests.ledger.stories import Ledger, Stories, key_ring

_HERE = {"column": "accounts.phone", "row": "acct_1"}


@given(st.text())
def test_what_was_sealed_opens(value: str) -> None:
    """Any text comes back as it was, and is not readable while sealed."""
    sealed = key_ring().encrypt(value, **_HERE)
    assert key_ring().decrypt(sealed, **_HERE) == value
    assert len(value) < 4 or value.encode() not in sealed


def test_the_same_value_never_looks_the_same() -> None:
    """Nobody sees from the tables that two accounts share a phone."""
    assert len({key_ring().encrypt("13812341234", **_HERE) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"column": "accounts.phone", "row": "acct_2"},
        {"column": "accounts.subject_name", "row": "acct_1"},
        {"column": "withdrawals.phone", "row": "acct_1"},
        {"column": "accounts.phone:acct_1", "row": ""},
    ],
)
def test_a_value_copied_elsewhere_does_not_open(elsewhere: dict[str, str]) -> None:
    """It is bound to its row and its column."""
    sealed = key_ring().encrypt("13812341234", **_HERE)
    with pytest.raises(Undecipherable):
        key_ring().decrypt(sealed, **elsewhere)


@given(st.data())
def test_a_changed_value_does_not_open(data: st.DataObject) -> None:
    """No bit of it can be turned, and no part cut off."""
    sealed = bytearray(key_ring().encrypt("张三", **_HERE))
    place = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[place // 8] ^= 1 << place % 8
    with pytest.raises(Undecipherable):
        key_ring().decrypt(bytes(sealed), **_HERE)


@given(st.binary(max_size=60))
def test_rubbish_does_not_open(value: bytes) -> None:
    """Whatever lies in the column, it is Undecipherable and no other error."""
    with pytest.raises(Undecipherable):
        key_ring().decrypt(value, **_HERE)


@pytest.mark.parametrize("length", range(30))
def test_a_cut_value_does_not_open(length: int) -> None:
    """Each shorter form is refused the same way."""
    sealed = key_ring().encrypt("张三", **_HERE)
    with pytest.raises(Undecipherable):
        key_ring().decrypt(sealed[:length], **_HERE)


def test_an_unknown_key_is_told_by_its_id() -> None:
    """The operator learns which key is missing, and nothing of the value."""
    sealed = key_ring("k2").encrypt("13812341234", **_HERE)
    old = KeyRing({"k1": bytes(32)}, "k1", bytes(32))
    with pytest.raises(Undecipherable, match="'k2'") as refused:
        old.decrypt(sealed, **_HERE)
    assert "1381234" not in str(refused.value)


def test_the_right_id_with_another_key_does_not_open() -> None:
    """An id alone proves nothing."""
    sealed = key_ring().encrypt("13812341234", **_HERE)
    other = replace(key_ring(), field_keys={"k1": bytes(32)})
    with pytest.raises(Undecipherable):
        other.decrypt(sealed, **_HERE)


def test_after_a_rotation_old_rows_are_still_read(ledger: Ledger) -> None:
    """New values are written with the new key; a withdrawal of the old key goes on to the bank and is shown."""
    before = Stories(ledger)
    withdrawal_id = before.bring_to(Status.PROCESSING)
    rotated = Ledger.on(ledger.database, key_ring("k2"))
    order = rotated.transfers.prepare(withdrawal_id, now=before.now)
    assert order is not None
    assert order.card.account_name == "张三"
    assert rotated.reads.withdrawal(withdrawal_id).account_name == "张三"
    account_id = rotated.reads.withdrawal(withdrawal_id).account_id
    before.register(account_id)
    rotated.accounts.register(before.registration(account_id), now=before.now)
    with ledger.database.transaction() as connection:
        name, number = connection.execute(text("SELECT subject_name, card_number FROM accounts, withdrawals")).one()
    assert (bytes(name)[1:3], bytes(number)[1:3]) == (b"k2", b"k1")


@pytest.mark.parametrize(
    ("field_keys", "current", "code_key"),
    [
        ({"k1": bytes(32)}, "k2", bytes(32)),
        ({"k1": bytes(16)}, "k1", bytes(32)),
        ({"k1": bytes(32), "k2": b""}, "k1", bytes(32)),
        ({"k1": bytes(32)}, "k1", bytes(31)),
        ({"": bytes(32)}, "", bytes(32)),
        ({"k" * 256: bytes(32)}, "k" * 256, bytes(32)),
    ],
)
def test_a_ring_that_cannot_work_is_refused(field_keys: dict[str, bytes], current: str, code_key: bytes) -> None:
    """At the start of the process, not with the first customer."""
    with pytest.raises(ValueError, match="key"):
        KeyRing(field_keys, current, code_key)


def test_a_ring_does_not_show_its_keys() -> None:
    """Neither in a log nor in a traceback."""
    assert "k1" in repr(key_ring())
    assert "x00" not in repr(key_ring())
    assert "field_keys" not in repr(key_ring())


def test_a_code_is_bound_and_keyed() -> None:
    """Another code, another withdrawal or another key gives another MAC."""
    macs = {
        key_ring().code_mac("123456", bound_to="w1"),
        key_ring().code_mac("123457", bound_to="w1"),
        key_ring().code_mac("123456", bound_to="w2"),
        replace(key_ring(), code_key=bytes(32)).code_mac("123456", bound_to="w1"),
    }
    assert len(macs) == 4
    assert key_ring().code_mac("123456", bound_to="w1") in macs
