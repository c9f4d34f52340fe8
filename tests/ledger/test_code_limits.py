"""What cancelling and applying again does not give back: wrong tries of a day, codes of a day, codes of an hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import CodeExpired, NotPossibleNow, Refusal, TooManyRequests, WrongCode
from domain.shanghai import day_of, end_of
from domain.verification import RESEND_AFTER, STANDARD_LIMITS, CodeLimits
from domain.withdrawal import Standing, Status
from ledger import code_limits
from ledger.code_limits import count_code
from ledger.database import Database
from tests.ledger.stories import CUSTOMER, Ledger, Stories, key_ring

_WIDE = CodeLimits(wrong_tries_a_day=1_000_000, codes_a_day=1_000_000, codes_an_hour=1_000_000)


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """With the limits of the contract, which other stories go without."""
    return Ledger.on(ledger.database, limits=STANDARD_LIMITS)


@pytest.fixture
def telling(ledger: Ledger) -> Callable[[CodeLimits], Stories]:
    """Stories under other limits, on the same database and account numbers of their own."""
    return lambda limits: Stories(Ledger.on(ledger.database, limits=limits))


def _until_midnight(stories: Stories) -> int:
    return int((end_of(day_of(stories.now)) - stories.now).total_seconds())


def _guess(stories: Stories, withdrawal_id: UUID, code: str = "no code") -> Refusal | Standing:
    """A wrong code unless another is given; what came of it."""
    try:
        return stories.ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now)
    except Refusal as refused:
        return refused


def _use_up_tries(stories: Stories, account_id: str, tries: int) -> UUID:
    """Guesses wrongly over as many applications as it takes; returns the last one, still open."""
    withdrawal_id = stories.apply(account_id)
    for _ in range(tries):
        if stories.ledger.moves.standing(withdrawal_id).status.is_final:
            withdrawal_id = stories.apply(account_id)
        assert isinstance(_guess(stories, withdrawal_id), WrongCode)
    return withdrawal_id


def test_fifteen_wrong_tries_are_the_accounts_day(ledger: Ledger, stories: Stories) -> None:
    """Four tries each on four applications: the sixteenth try is refused, right or wrong, and nothing changes."""
    account_id = stories.open_account()
    left = []
    withdrawal_id, code = UUID(int=0), ""
    for tries in (4, 4, 4, 3):
        withdrawal_id = stories.apply(account_id)
        code = stories.send_code(withdrawal_id)
        for _ in range(tries):
            refused = _guess(stories, withdrawal_id)
            assert isinstance(refused, WrongCode)
            left.append(refused.attempts_left)
        if tries == 4:
            stories.cancel(withdrawal_id)
    assert left == [4, 3, 2, 1, 4, 3, 2, 1, 4, 3, 2, 1, 2, 1, 0]
    before = ledger.everything()
    for tried in ("no code", code):
        refused = _guess(stories, withdrawal_id, tried)
        assert isinstance(refused, TooManyRequests)
        assert refused.retry_after_s == _until_midnight(stories)
    assert ledger.everything() == before


def test_an_account_without_tries_is_sent_no_code(ledger: Ledger, stories: Stories) -> None:
    """Neither with a new application nor by a resend, and nothing is recorded."""
    account_id = stories.open_account()
    withdrawal_id = _use_up_tries(stories, account_id, 12)
    if not ledger.moves.standing(withdrawal_id).status.is_final:
        stories.cancel(withdrawal_id)
    withdrawal_id = stories.apply(account_id)
    stories.send_code(withdrawal_id)
    for _ in range(3):
        assert isinstance(_guess(stories, withdrawal_id), WrongCode)
    stories.now += RESEND_AFTER
    before = ledger.everything()
    with pytest.raises(TooManyRequests):
        stories.send_code(withdrawal_id)
    assert ledger.everything() == before
    stories.cancel(withdrawal_id)
    before = ledger.everything()
    with pytest.raises(TooManyRequests) as refused:
        stories.apply(account_id)
    assert refused.value.retry_after_s == _until_midnight(stories)
    assert ledger.everything() == before


def test_the_next_day_has_tries_again(ledger: Ledger, stories: Stories) -> None:
    """At midnight in Shanghai, not sixteen hours earlier or eight later; another account was never concerned."""
    account_id, other = stories.open_account(), stories.open_account()
    withdrawal_id = _use_up_tries(stories, account_id, 15)
    assert ledger.moves.standing(withdrawal_id).status is Status.EXPIRED
    assert isinstance(_guess(stories, stories.apply(other)), WrongCode)
    stories.now = end_of(day_of(stories.now)) - timedelta(seconds=1)
    with pytest.raises(TooManyRequests):
        stories.apply(account_id)
    stories.now += timedelta(seconds=1)
    code = stories.send_code(withdrawal_id := stories.apply(account_id))
    assert ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now).verified


def test_ten_thousand_guesses(ledger: Ledger, telling: Callable[[CodeLimits], Stories]) -> None:
    """However often somebody applies and guesses, five codes are looked at a withdrawal and fifteen a day."""
    stories = telling(replace(STANDARD_LIMITS, codes_a_day=1000))
    account_id = stories.open_account()
    outcomes: Counter[str] = Counter()
    withdrawal_id = stories.apply(account_id)
    code = int(stories.send_code(withdrawal_id))
    for number in range(10_000):
        outcome = _guess(stories, withdrawal_id, f"{(code + 1 + number) % 1_000_000:06}")
        outcomes[type(outcome).__name__] += 1
        assert not isinstance(outcome, WrongCode) or outcome.attempts_left >= 0
        if isinstance(outcome, CodeExpired) and outcomes["WrongCode"] < 15:
            withdrawal_id = stories.apply(account_id)
            code = int(stories.send_code(withdrawal_id))
    assert outcomes["WrongCode"] == 15
    assert outcomes.keys() == {"WrongCode", "CodeExpired"}
    with ledger.database.transaction() as connection:
        looked_at = connection.execute(
            text("SELECT count(*) FROM withdrawal_events WHERE kind = 'wrong_code' GROUP BY withdrawal_id")
        ).scalars()
        assert list(looked_at) == [5, 5, 5]


def test_a_hundred_guesses_at_once(ledger: Ledger, stories: Stories) -> None:
    """Counted one after the other: five were looked at, none more, and nobody is told a negative number."""
    withdrawal_id = stories.apply(stories.open_account())
    stories.send_code(withdrawal_id)
    with ThreadPoolExecutor(20) as callers:
        outcomes = list(callers.map(lambda _: _guess(stories, withdrawal_id), range(100)))
    wrong = sorted(outcome.attempts_left for outcome in outcomes if isinstance(outcome, WrongCode))
    assert wrong == [0, 1, 2, 3, 4]
    assert sum(isinstance(outcome, CodeExpired) for outcome in outcomes) == 95
    assert stories.event_kinds(withdrawal_id).count("wrong_code") == 5


def test_a_hundred_guesses_at_once_with_one_try_left_today(ledger: Ledger, stories: Stories) -> None:
    """The account's last try of the day is used once, although the withdrawal has four more."""
    account_id = stories.open_account()
    for tries in (4, 4, 4, 2):
        withdrawal_id = stories.apply(account_id)
        for _ in range(tries):
            _guess(stories, withdrawal_id)
        stories.cancel(withdrawal_id)
    withdrawal_id = stories.apply(account_id)
    with ThreadPoolExecutor(20) as callers:
        outcomes = list(callers.map(lambda _: _guess(stories, withdrawal_id), range(100)))
    assert [outcome.attempts_left for outcome in outcomes if isinstance(outcome, WrongCode)] == [0]
    assert sum(isinstance(outcome, TooManyRequests) for outcome in outcomes) == 99


def test_five_codes_are_the_phones_day(ledger: Ledger, stories: Stories) -> None:
    """Over accounts that share it, sends and resends together; the sixth is refused and nothing is recorded."""
    accounts = [stories.open_account() for _ in range(4)]
    first = stories.apply(accounts[0])
    stories.send_code(first)
    for _ in range(2):
        stories.now += RESEND_AFTER
        stories.send_code(first)
    stories.apply(accounts[1])
    last = stories.apply(accounts[2])
    assert len(stories.send_code(last)) == 6, "the first code of an application was counted with it"
    before = ledger.everything()
    with pytest.raises(TooManyRequests) as refused:
        stories.apply(accounts[3])
    assert refused.value.retry_after_s == _until_midnight(stories)
    stories.now += RESEND_AFTER
    with pytest.raises(TooManyRequests):
        stories.send_code(first)
    assert ledger.everything() == before
    stories.apply(stories.open_account(phone="13912341234"))
    stories.now = end_of(day_of(stories.now))
    stories.apply(accounts[3])


def test_cancelling_gives_no_code_back(stories: Stories) -> None:
    """Apply and cancel, five times; the sixth application is refused."""
    account_id = stories.open_account()
    for _ in range(5):
        stories.cancel(stories.apply(account_id))
    with pytest.raises(TooManyRequests):
        stories.apply(account_id)


def test_a_send_tried_again_counts_once(ledger: Ledger, stories: Stories) -> None:
    """A gateway whose answer is lost does not cost the customer the day's codes."""
    withdrawal_id = stories.apply(stories.open_account())
    for _ in range(10):
        ledger.verifications.issue_code(withdrawal_id, send_key="first", now=stories.now)
    stories.now += RESEND_AFTER
    for _ in range(10):
        ledger.verifications.issue_code(withdrawal_id, send_key="second", now=stories.now)
    with ledger.database.transaction() as connection:
        assert connection.execute(text("SELECT used FROM daily_uses")).scalar_one() == 2


def test_a_phone_is_counted_without_being_known(ledger: Ledger, stories: Stories) -> None:
    """The table has a keyed MAC, which is another one under another key and for another purpose."""
    stories.apply(stories.open_account())
    with ledger.database.transaction() as connection:
        subject = connection.execute(text("SELECT subject FROM daily_uses")).scalar_one()
    keys = key_ring()
    assert subject == keys.lookup_mac("13812341234", purpose="codes a phone is sent").hex()
    assert subject != keys.lookup_mac("13812341234", purpose="audited phone").hex()
    assert subject != replace(keys, code_key=bytes(32)).lookup_mac("13812341234", purpose="codes a phone is sent").hex()


def test_applications_at_once_share_one_phones_codes(ledger: Ledger, stories: Stories) -> None:
    """Twelve accounts with one phone apply at once: five are taken down, and seven are refused whole."""
    accounts = [stories.open_account() for _ in range(12)]

    def apply(account_id: str) -> bool:
        try:
            ledger.applications.apply(stories.application(account_id, 500_00, key="one"), now=stories.now)
        except TooManyRequests:
            return False
        return True

    with ThreadPoolExecutor(12) as callers:
        assert sum(callers.map(apply, accounts)) == 5
    assert ledger.count("withdrawals") == ledger.count("idempotency_keys") == 5


@pytest.mark.parametrize("budget", [1, 15, 16, 50])
def test_everybodys_budget_is_spent_to_the_last_code(
    ledger: Ledger, telling: Callable[[CodeLimits], Stories], budget: int
) -> None:
    """Forty callers at once, over shards that nobody waits for: not one more than the budget, and not one less."""
    stories = telling(replace(_WIDE, codes_an_hour=budget))
    database, limits = ledger.database, replace(_WIDE, codes_an_hour=budget)

    def send(number: int) -> bool:
        return _counted(database, limits, f"138{number:08d}", stories)

    with ThreadPoolExecutor(16) as callers:
        assert sum(callers.map(send, range(budget + 40))) == budget
    stories.now += timedelta(hours=1)
    assert send(0), "the next hour has a budget of its own"


def _counted(database: Database, limits: CodeLimits, phone: str, stories: Stories) -> bool:
    try:
        with database.transaction() as connection:
            count_code(connection, key_ring(), limits, phone, stories.now)
    except TooManyRequests:
        return False
    return True


def test_no_code_waits_for_another(ledger: Ledger, stories: Stories) -> None:
    """A send whose transaction has not ended yet holds its own shard only: the next one takes another at once."""
    assert _counted(ledger.database, _WIDE, "13800000001", stories), "the hour's shards are there"
    with ledger.database.transaction() as slow:
        count_code(slow, key_ring(), _WIDE, "13800000002", stories.now)
        for number in range(2 * code_limits.SHARDS):
            with ledger.database.transaction() as quick:
                quick.execute(text("SET LOCAL lock_timeout = '200ms'"))
                count_code(quick, key_ring(), _WIDE, f"1370000{number:04d}", stories.now)


def test_a_budget_that_is_spent_refuses_applications(ledger: Ledger, telling: Callable[[CodeLimits], Stories]) -> None:
    """Before anything is recorded, and until the hour is over."""
    stories = telling(replace(_WIDE, codes_an_hour=1))
    accounts = [stories.open_account() for _ in range(2)]
    stories.apply(accounts[0])
    before = ledger.everything()
    with pytest.raises(TooManyRequests) as refused:
        stories.apply(accounts[1])
    assert refused.value.retry_after_s == 3600
    assert ledger.everything() == before
    stories.now += timedelta(hours=1)
    stories.apply(accounts[1])


def test_a_code_of_a_frozen_withdrawal_cannot_be_guessed_at(ledger: Ledger, stories: Stories) -> None:
    """It is used, and a wrong one changes nothing; the right one again finds it done."""
    withdrawal_id = stories.apply(stories.open_account())
    code = stories.send_code(withdrawal_id)
    ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now)
    stories.freeze(withdrawal_id)
    before = ledger.everything()
    assert isinstance(_guess(stories, withdrawal_id), NotPossibleNow)
    assert isinstance(_guess(stories, withdrawal_id, code), Standing)
    assert ledger.everything() == before
