"""Billing's bookings: each once per reference, vouchers before cash, never what is frozen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from domain.bank_card import SubjectType
from domain.errors import NotFound, ReferenceReused
from domain.withdrawal import Status
from ledger.accounts import Registration, read_registration
from ledger.tables import Bucket
from tests.ledger.stories import PLENTY, SMALL, Balances, Ledger, Stories


def test_a_top_up_is_cash_from_funding(ledger: Ledger, stories: Stories) -> None:
    """The customer's available cash grows by what our funding pays in."""
    account_id = stories.open_account(cash=0)
    assert ledger.accounts.top_up(account_id, "T-1", 12_34, now=stories.now)
    assert ledger.balances(account_id) == Balances(available=12_34)
    assert ledger.sum_of(Bucket.FUNDING) == -12_34


def test_a_voucher_is_at_the_cost_of_revenue(ledger: Ledger, stories: Stories) -> None:
    """It adds to the vouchers and to nothing else of the customer's."""
    account_id = stories.open_account(cash=0)
    assert ledger.accounts.grant_voucher(account_id, "V-1", 50_00, now=stories.now)
    assert ledger.balances(account_id) == Balances(vouchers=50_00)
    assert ledger.sum_of(Bucket.REVENUE) == -50_00


@pytest.mark.parametrize(
    ("charged", "left"),
    [
        (30_00, Balances(100_00, 0, 20_00)),
        (50_00, Balances(100_00, 0, 0)),
        (50_01, Balances(99_99, 0, 0)),
        (150_00, Balances(0, 0, 0)),
        (150_01, Balances(-1, 0, 0)),
    ],
)
def test_usage_takes_vouchers_first_then_cash(ledger: Ledger, stories: Stories, charged: int, left: Balances) -> None:
    """Vouchers are used up before cash, and cash may go below zero."""
    account_id = stories.open_account(cash=100_00, vouchers=50_00)
    assert ledger.accounts.charge(account_id, "U-1", charged, now=stories.now)
    assert ledger.balances(account_id) == left
    assert ledger.sum_of(Bucket.REVENUE) == charged - 50_00


def test_usage_never_touches_what_is_frozen(ledger: Ledger, stories: Stories) -> None:
    """A charge above all cash leaves the frozen amount whole and the account in arrears."""
    account_id = stories.open_account(cash=SMALL)
    stories.bring_to(Status.PROCESSING, account_id)
    ledger.accounts.charge(account_id, "U-1", 10_00, now=stories.now)
    assert ledger.balances(account_id) == Balances(-10_00, SMALL)


def test_arrears_are_paid_by_the_next_top_up(ledger: Ledger, stories: Stories) -> None:
    """What is below zero comes up again by what is topped up."""
    account_id = stories.open_account(cash=0)
    ledger.accounts.charge(account_id, "U-1", 10_00, now=stories.now)
    ledger.accounts.top_up(account_id, "T-1", 30_00, now=stories.now)
    assert ledger.balances(account_id) == Balances(available=20_00)


@pytest.mark.parametrize("kind", ["top_up", "grant_voucher", "charge"])
def test_a_reference_is_booked_once(ledger: Ledger, stories: Stories, kind: str) -> None:
    """The same reference and amount again says so and books nothing; another amount is refused."""
    account_id = stories.open_account(cash=100_00, vouchers=5_00)
    book = getattr(ledger.accounts, kind)
    assert book(account_id, "R-1", 10_00, now=stories.now) is True
    before = ledger.everything()
    assert book(account_id, "R-1", 10_00, now=stories.now) is False
    with pytest.raises(ReferenceReused):
        book(account_id, "R-1", 10_01, now=stories.now)
    assert ledger.everything() == before


def test_references_of_two_accounts_and_of_two_kinds_are_apart(ledger: Ledger, stories: Stories) -> None:
    """One reference may stand for a top-up here, one there, and for a charge."""
    one, other = stories.open_account(cash=0), stories.open_account(cash=0)
    assert ledger.accounts.top_up(one, "R-1", 10_00, now=stories.now)
    assert ledger.accounts.top_up(other, "R-1", 20_00, now=stories.now)
    assert ledger.accounts.charge(one, "R-1", 3_00, now=stories.now)
    assert (ledger.balances(one).available, ledger.balances(other).available) == (7_00, 20_00)


@pytest.mark.parametrize("kind", ["top_up", "grant_voucher", "charge"])
def test_an_unknown_account_has_no_bookings(ledger: Ledger, stories: Stories, kind: str) -> None:
    """It is not created by money."""
    with pytest.raises(NotFound):
        getattr(ledger.accounts, kind)("acct_nobody", "R-1", 1, now=stories.now)
    assert ledger.count("transactions") == 0


def test_a_registration_is_read_as_it_was_written(ledger: Ledger, stories: Stories) -> None:
    """Name and phone come back decrypted; an unknown account is None."""
    registration = Registration("acct_1", SubjectType.COMPANY, "上海某某有限公司", True, "13912345678", False, True)
    ledger.accounts.register(registration, now=stories.now)
    with ledger.database.transaction() as connection:
        assert read_registration(connection, ledger.keys, "acct_1") == registration
        assert read_registration(connection, ledger.keys, "acct_2") is None


def test_registering_again_replaces_what_is_known_and_no_money(ledger: Ledger, stories: Stories) -> None:
    """The account's balances stay; a phone that is gone is gone, also its masked form."""
    account_id = stories.open_account(cash=10_00, vouchers=5_00)
    stories.register(account_id, subject_name="李四", phone=None, suspended=True)
    assert ledger.balances(account_id) == Balances(10_00, 0, 5_00)
    with ledger.database.transaction() as connection:
        known = read_registration(connection, ledger.keys, account_id)
        masked = connection.execute(text("SELECT phone_masked FROM accounts")).scalar_one()
    assert known is not None
    assert (known.subject_name, known.phone, known.suspended, masked) == ("李四", None, True, None)


def test_name_and_phone_are_not_in_the_tables_in_clear(ledger: Ledger, stories: Stories) -> None:
    """Nobody who reads the tables, or a log of the registration, reads the person."""
    account_id = stories.open_account(phone="13912345678")
    stories.bring_to(Status.PAID, account_id)
    with ledger.database.transaction() as connection:
        for table in ("accounts", "withdrawals"):
            rows = connection.execute(text(f"SELECT * FROM {table}")).mappings()
            raw = b"".join(bytes(v) if isinstance(v, bytes) else str(v).encode() for r in rows for v in r.values())
            for secret in ("张三", "13912345678", "6230580000005000018"):
                assert secret.encode() not in raw
    for secret in ("张三", "13812341234"):
        assert secret not in repr(stories.registration(account_id))


@settings(max_examples=25)
@given(cash=st.integers(0, 500), vouchers=st.integers(0, 500), charges=st.lists(st.integers(1, 400), max_size=5))
def test_no_charge_loses_or_makes_a_fen(
    ledger: Ledger, stories: Stories, cash: int, vouchers: int, charges: list[int]
) -> None:
    """After any charges: vouchers are used up first and never below zero, and the rest came from cash."""
    account_id = stories.open_account(cash=cash, vouchers=vouchers)
    for number, amount in enumerate(charges):
        ledger.accounts.charge(account_id, f"U-{number}", amount, now=stories.now)
    used = sum(charges)
    from_vouchers = min(vouchers, used)
    assert ledger.balances(account_id) == Balances(cash - used + from_vouchers, 0, vouchers - from_vouchers)


def test_large_amounts_are_exact(ledger: Ledger, stories: Stories) -> None:
    """The largest amount of the contract is booked to the fen."""
    account_id = stories.open_account(cash=999_999_999_999_99)
    assert ledger.balances(account_id).available == 999_999_999_999_99 > PLENTY


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_and_less_than_nothing_is_not_booked(ledger: Ledger, stories: Stories, amount: int) -> None:
    """A caller that forgets to check its amount is stopped before the book."""
    account_id = stories.open_account()
    before = ledger.balances(account_id)
    for book in (ledger.accounts.top_up, ledger.accounts.grant_voucher, ledger.accounts.charge):
        with pytest.raises(ValueError, match="more than nothing"):
            book(account_id, "none", amount, now=stories.now)
    assert ledger.balances(account_id) == before
