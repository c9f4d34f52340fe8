"""The phone code: sent, tried against, resent and expired (rule 8)."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import CodeExpired, NotFound, NotPossibleNow, TooManyRequests, WrongCode
from domain.verification import CODE_LIFE, RESEND_AFTER
from domain.withdrawal import FROZEN, Status
from tests.ledger.stories import CUSTOMER, LARGE, Ledger, Stories

_NOBODY = UUID(int=1)


@pytest.fixture
def withdrawal_id(stories: Stories) -> UUID:
    """An application that waits for its code."""
    return stories.apply(stories.open_account())


def _wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


def test_a_code_is_sent_with_what_it_is_for(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """The SMS names amount and card, the repr of it names nothing, and the ten minutes begin with it."""
    stories.pass_time(minutes=3)
    sms = ledger.verifications.issue_code(withdrawal_id, send_key="first", now=stories.now)
    assert (sms.phone, sms.amount_fen, sms.card_last4) == ("13812341234", 500_00, "0018")
    assert sms.code not in repr(sms)
    assert sms.phone not in repr(sms)
    standing = ledger.moves.standing(withdrawal_id)
    assert standing.code_sent
    assert standing.code_expires_at == stories.now + CODE_LIFE
    assert stories.event_kinds(withdrawal_id) == ["applied", "code_sent"]


def test_no_code_is_stored(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """Neither the table nor the events hold the code, only a keyed MAC of 32 bytes."""
    code = stories.send_code(withdrawal_id)
    rows = ledger.everything()
    assert code not in str(rows["withdrawal_events"])
    with ledger.database.transaction() as connection:
        mac = connection.execute(text("SELECT code_mac FROM verifications")).scalar_one()
    assert len(mac) == 32
    assert code.encode() not in bytes(mac)


def test_the_same_send_tried_again_counts_once(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """A send whose outcome is unknown is made again with a new code, without a pause and without a count."""
    codes = [ledger.verifications.issue_code(withdrawal_id, send_key="first", now=stories.now).code for _ in range(10)]
    assert len(set(codes)) > 1
    assert stories.event_kinds(withdrawal_id) == ["applied", "code_sent"]
    assert ledger.verifications.try_code(withdrawal_id, codes[-1], of=None, by=CUSTOMER, now=stories.now).verified


def test_the_same_send_after_its_ten_minutes_sends_nothing(
    ledger: Ledger, stories: Stories, withdrawal_id: UUID
) -> None:
    """A code that nobody could use any more is not drawn."""
    ledger.verifications.issue_code(withdrawal_id, send_key="first", now=stories.now)
    stories.now += CODE_LIFE
    with pytest.raises(CodeExpired):
        ledger.verifications.issue_code(withdrawal_id, send_key="first", now=stories.now)


def test_a_new_code_replaces_the_old_one_and_its_time(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """The old code is wrong from then on, and ten new minutes begin; used tries stay used."""
    old = stories.send_code(withdrawal_id)
    with pytest.raises(WrongCode):
        ledger.verifications.try_code(withdrawal_id, _wrong(old), of=None, by=CUSTOMER, now=stories.now)
    stories.now += RESEND_AFTER
    new = stories.send_code(withdrawal_id)
    while new == old:  # one chance in a million
        new = ledger.verifications.issue_code(withdrawal_id, send_key="again", now=stories.now).code
    with pytest.raises(WrongCode) as refused:
        ledger.verifications.try_code(withdrawal_id, old, of=None, by=CUSTOMER, now=stories.now)
    assert refused.value.attempts_left == 3
    assert ledger.moves.standing(withdrawal_id).code_expires_at == stories.now + CODE_LIFE
    assert ledger.verifications.try_code(withdrawal_id, new, of=None, by=CUSTOMER, now=stories.now).verified


def test_a_resend_too_soon_says_when(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """The seconds until it is possible, and nothing changed."""
    stories.send_code(withdrawal_id)
    stories.pass_time(seconds=20, milliseconds=300)
    before = ledger.everything()
    with pytest.raises(TooManyRequests) as refused:
        stories.send_code(withdrawal_id)
    assert refused.value.retry_after_s == 40
    assert ledger.everything() == before


def test_no_new_code_after_the_ten_minutes(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """The time is over for a resend, too."""
    stories.send_code(withdrawal_id)
    stories.now += CODE_LIFE
    before = ledger.everything()
    with pytest.raises(CodeExpired):
        stories.send_code(withdrawal_id)
    assert ledger.everything() == before


def test_the_right_code_is_recorded_once(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """The right code again is no error and changes nothing, before the freeze and after it."""
    code = stories.send_code(withdrawal_id)
    first = ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now)
    assert (first.status, first.verified) == (Status.AWAITING_VERIFICATION, True)
    stories.pass_time(minutes=1)
    before = ledger.everything()
    assert ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now) == first
    assert ledger.everything() == before
    frozen = stories.freeze(withdrawal_id)
    assert ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now) == frozen
    assert stories.event_kinds(withdrawal_id) == ["applied", "code_sent", "verified", "frozen"]


def test_a_wrong_code_after_the_right_one_uses_nothing_up(
    ledger: Ledger, stories: Stories, withdrawal_id: UUID
) -> None:
    """It is refused, and what was verified stays verified."""
    code = stories.send_code(withdrawal_id)
    ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now)
    before = ledger.everything()
    with pytest.raises(WrongCode):
        ledger.verifications.try_code(withdrawal_id, _wrong(code), of=None, by=CUSTOMER, now=stories.now)
    assert ledger.everything() == before


def test_a_code_before_any_was_sent_is_wrong(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """There is nothing to guess against, and the try counts."""
    with pytest.raises(WrongCode) as refused:
        ledger.verifications.try_code(withdrawal_id, "000000", of=None, by=CUSTOMER, now=stories.now)
    assert refused.value.attempts_left == 4


def test_a_code_is_good_for_one_withdrawal_only(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """Its MAC copied to another application opens nothing there: it is bound to the first."""
    code = stories.send_code(withdrawal_id)
    other = stories.apply(stories.open_account())
    stories.send_code(other)
    copy = text("""UPDATE verifications SET code_mac = (SELECT code_mac FROM verifications WHERE withdrawal_id = :one)
                   WHERE withdrawal_id = :other""")
    with ledger.database.transaction() as connection:
        connection.execute(copy, {"one": withdrawal_id, "other": other})
    with pytest.raises(WrongCode):
        ledger.verifications.try_code(other, code, of=None, by=CUSTOMER, now=stories.now)


def test_a_late_code_uses_no_try_up(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """Between the tenth minute and the workflow's timer, a try is told that it is late."""
    code = stories.send_code(withdrawal_id)
    stories.now += CODE_LIFE
    before = ledger.everything()
    for tried in (code, _wrong(code)):
        with pytest.raises(CodeExpired):
            ledger.verifications.try_code(withdrawal_id, tried, of=None, by=CUSTOMER, now=stories.now)
    assert ledger.everything() == before


def test_it_expires_at_the_tenth_minute_and_once(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """A timer that fires early does nothing, also after a resend; a repeat does nothing."""
    stories.send_code(withdrawal_id)
    first_end = stories.now + CODE_LIFE
    stories.now += RESEND_AFTER
    stories.send_code(withdrawal_id)
    early = ledger.verifications.expire(withdrawal_id, now=first_end)
    assert early.status is Status.AWAITING_VERIFICATION
    stories.now += CODE_LIFE
    expired = ledger.verifications.expire(withdrawal_id, now=stories.now)
    assert (expired.status, expired.failure_code) == (Status.EXPIRED, "code_expired")
    before = ledger.everything()
    assert ledger.verifications.expire(withdrawal_id, now=stories.now) == expired
    assert ledger.everything() == before


def test_a_verified_one_does_not_expire(ledger: Ledger, stories: Stories, withdrawal_id: UUID) -> None:
    """The code came in time, so the timer has nothing to end, however late the freeze is."""
    stories.verify(withdrawal_id)
    stories.pass_time(days=1)
    standing = ledger.verifications.expire(withdrawal_id, now=stories.now)
    assert standing.status is Status.AWAITING_VERIFICATION
    assert stories.freeze(withdrawal_id).status is Status.PROCESSING


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.AWAITING_VERIFICATION}))
def test_codes_belong_to_the_first_status(ledger: Ledger, stories: Stories, status: Status) -> None:
    """In any other no code is sent, a wrong one is not judged, and nothing expires or changes."""
    withdrawal_id = stories.bring_to(status)
    before = ledger.everything()
    refusal = CodeExpired if status is Status.EXPIRED else NotPossibleNow
    with pytest.raises(refusal):
        stories.send_code(withdrawal_id)
    with pytest.raises(refusal):
        ledger.verifications.try_code(withdrawal_id, "no code", of=None, by=CUSTOMER, now=stories.now)
    stories.pass_time(days=1)
    assert ledger.verifications.expire(withdrawal_id, now=stories.now).status is status
    assert ledger.everything() == before


@pytest.mark.parametrize("status", sorted(FROZEN))
def test_the_right_code_again_finds_it_done(ledger: Ledger, stories: Stories, status: Status) -> None:
    """Whoever lost the answer to the right code gets it by giving the code again."""
    withdrawal_id = stories.apply(stories.open_account(), LARGE)
    code = stories.send_code(withdrawal_id)
    ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now)
    stories.freeze(withdrawal_id)
    if status is not Status.AWAITING_APPROVAL:
        stories.decide(withdrawal_id)
    if status is Status.UNDER_REVIEW:
        stories.let_window_end(withdrawal_id)
    assert ledger.verifications.try_code(withdrawal_id, code, of=None, by=CUSTOMER, now=stories.now).status is status


def test_an_unknown_withdrawal_is_not_found(ledger: Ledger, stories: Stories) -> None:
    """By whichever call it is asked for."""
    with pytest.raises(NotFound):
        stories.send_code(_NOBODY)
    with pytest.raises(NotFound):
        ledger.verifications.try_code(_NOBODY, "000000", of=None, by=CUSTOMER, now=stories.now)
    with pytest.raises(NotFound):
        ledger.verifications.expire(_NOBODY, now=stories.now)
