"""A refusal carries its facts across Temporal and comes out as what it went in; a failure has words."""

from __future__ import annotations

import json
from datetime import date
from uuid import UUID

import pytest

from domain import errors, failure
from domain.bank_card import SubjectType
from domain.eligibility import Applicant, EligibilityRules
from domain.errors import REFUSALS, Reason, Refusal

_WITHDRAWAL = UUID("019abcde-0000-7000-8000-000000000001")
_EXAMPLES: dict[str, Refusal] = {
    refusal.code: refusal
    for refusal in (
        errors.NotFound(),
        errors.InvalidRequest([{"code": "too_long", "message": "At most 100 characters.", "field": "a.b"}]),
        errors.NotEligible([Reason("account_suspended", "账户已停用。"), Reason("phone_missing", "Add one.")]),
        errors.WithdrawalInProgress(withdrawal_id=_WITHDRAWAL),
        errors.WrongCode(attempts_left=3),
        errors.CodeExpired(),
        errors.TooManyRequests(retry_after_s=42),
        errors.NotPossibleNow(status="processing"),
        errors.FourEyesViolated(),
        errors.IdempotencyKeyReused(),
        errors.IdempotencyKeyInUse(retry_after_s=7),
        errors.ReferenceReused(),
        errors.TemporarilyUnavailable(retry_after_s=9),
    )
}


def test_every_refusal_is_in_the_table_once() -> None:
    """The table knows each subclass under its own code, so that none is lost on its way through Temporal."""
    ours = {refusal for refusal in Refusal.__subclasses__() if refusal.__module__ == errors.__name__}
    assert set(REFUSALS.values()) == ours
    assert all(refusal.code == code for code, refusal in REFUSALS.items())
    assert set(_EXAMPLES) == set(REFUSALS)


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_refusal_survives_json(code: str) -> None:
    """Facts written as JSON and read again rebuild a refusal of the same kind, facts and words."""
    refusal = _EXAMPLES[code]
    rebuilt = REFUSALS[code].from_facts(json.loads(json.dumps(refusal.facts())))
    assert type(rebuilt) is type(refusal)
    assert rebuilt.facts() == refusal.facts()
    assert vars(rebuilt) == vars(refusal)
    assert str(rebuilt) == str(refusal) == refusal.title


def test_reasons_come_out_as_reasons() -> None:
    """Not as plain dictionaries that only look alike."""
    reasons = [Reason("phone_missing", "Add one.")]
    facts = json.loads(json.dumps(errors.NotEligible(reasons).facts()))
    assert errors.NotEligible.from_facts(facts).reasons == reasons


def test_a_refusal_with_nothing_given_has_nothing_to_hide() -> None:
    """Its words are the contract's title; no data of the caller is in the text that gets logged."""
    assert str(_EXAMPLES["not_eligible"]) == "The amount can't be withdrawn."
    assert all(str(refusal) == refusal.title for refusal in _EXAMPLES.values())


def _codes_of_the_rules() -> set[str]:
    hopeless = Applicant("a", SubjectType.PERSON, "张三", False, False, True, True, -1, True)
    reasons = EligibilityRules().reasons_against(hopeless, amount=1, account_name="李四", month=date(2026, 1, 1))
    return {reason.code for reason in reasons}


def _codes_of_failure() -> set[str]:
    return {value for name, value in vars(failure).items() if name.isupper() and isinstance(value, str)} - {
        failure._UNFROZEN
    }


@pytest.mark.parametrize("code", sorted(_codes_of_failure() | _codes_of_the_rules()))
def test_every_failure_code_has_words_of_its_own(code: str) -> None:
    """No code in use falls back on the sentence about the bank."""
    assert code in failure.MESSAGES
    assert failure.message_for(code).endswith(".")
    if code != failure.BANK_REFUSED:
        assert failure.message_for(code) != failure.message_for(failure.BANK_REFUSED)


def test_an_unknown_failure_still_has_words() -> None:
    """A code from tomorrow is told as a refusal by the bank rather than not at all."""
    assert failure.message_for("a_code_from_tomorrow") == failure.MESSAGES[failure.BANK_REFUSED]


@pytest.mark.parametrize(
    ("reason_code", "code"),
    [
        ("account_closed", "bank_account_closed"),
        ("name_mismatch", "bank_name_mismatch"),
        ("card_not_accepted", "bank_card_not_accepted"),
        ("something_new", "bank_refused"),
        ("account_name_mismatch", "bank_refused"),
        ("", "bank_refused"),
        (None, "bank_refused"),
    ],
)
def test_the_banks_reason_becomes_our_code(reason_code: str | None, code: str) -> None:
    """A known word keeps its meaning; any other one says plainly that the bank refused and the money is back."""
    assert failure.bank_failure(reason_code) == code
    assert "back in your account" in failure.message_for(code)
