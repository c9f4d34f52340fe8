"""Every way the system says no: facts that carry data, one tree for HTTP and Temporal alike.

A ``Refusal`` promises that nothing changed unless its docstring says otherwise. ``code`` is the word of the
contract (the bad-input table of product.md); ``facts()`` is what the refused caller is told besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self
from uuid import UUID


@dataclass(frozen=True)
class Reason:
    """One reason why an amount can't be withdrawn, in the contract's word and in the customer's."""

    code: str
    message: str


class Refusal(Exception):
    """The request was understood and is refused."""

    code: ClassVar[str]
    title: ClassVar[str]

    def __str__(self) -> str:
        return self.title

    def facts(self) -> dict[str, Any]:
        """The data of the refusal as JSON types."""
        return {}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Rebuilds the refusal on the far side of Temporal from what ``facts`` gave."""
        return cls(**facts)


@dataclass(eq=False)
class NotFound(Refusal):
    """There is no such thing, or it is somebody else's: the two answers are the same."""

    code = "not_found"
    title = "There is no such account or withdrawal."


@dataclass(eq=False)
class InvalidRequest(Refusal):
    """The request breaks the form of the contract; each entry is ``{code, message, field?}``."""

    errors: Sequence[Mapping[str, str]] = ()
    code = "invalid_request"
    title = "The request is not valid."

    def facts(self) -> dict[str, Any]:
        return {"errors": [dict(error) for error in self.errors]}


@dataclass(eq=False)
class NotEligible(Refusal):
    """The rules say no, and this is every reason at once."""

    reasons: Sequence[Reason] = ()
    code = "not_eligible"
    title = "The amount can't be withdrawn."

    def facts(self) -> dict[str, Any]:
        return {"errors": [asdict(reason) for reason in self.reasons]}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        return cls([Reason(**error) for error in facts["errors"]])


@dataclass(eq=False)
class WithdrawalInProgress(Refusal):
    """Another application of the account is not over yet."""

    withdrawal_id: UUID = field(kw_only=True)
    code = "withdrawal_in_progress"
    title = "Another withdrawal of this account is still in progress."

    def facts(self) -> dict[str, Any]:
        return {"withdrawal_id": str(self.withdrawal_id)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        return cls(withdrawal_id=UUID(facts["withdrawal_id"]))


@dataclass(eq=False)
class WrongCode(Refusal):
    """The phone code is wrong. This one does change something: a try is used up."""

    attempts_left: int = field(kw_only=True)
    code = "wrong_code"
    title = "The verification code is wrong."

    def facts(self) -> dict[str, Any]:
        return {"attempts_left": self.attempts_left}


@dataclass(eq=False)
class CodeExpired(Refusal):
    """The code is over its ten minutes or its five tries."""

    code = "code_expired"
    title = "The verification code is no longer valid. Apply again."


@dataclass(eq=False)
class TooManyRequests(Refusal):
    """Too soon or too often; the same call may be made after ``retry_after_s`` seconds."""

    retry_after_s: int = field(kw_only=True)
    code = "too_many_requests"
    title = "Too many requests."

    def facts(self) -> dict[str, Any]:
        return {"retry_after_s": self.retry_after_s}


@dataclass(eq=False)
class NotPossibleNow(Refusal):
    """The withdrawal's status doesn't allow it."""

    status: str = field(kw_only=True)
    code = "not_possible_now"
    title = "This is not possible in the withdrawal's present status."

    def facts(self) -> dict[str, Any]:
        return {"status": str(self.status)}


@dataclass(eq=False)
class FourEyesViolated(Refusal):
    """Nobody decides on their own application, and nobody counts twice."""

    code = "four_eyes_violated"
    title = "Another person has to decide this."


@dataclass(eq=False)
class IdempotencyKeyReused(Refusal):
    """The key already belongs to another request body."""

    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used with another request."


@dataclass(eq=False)
class IdempotencyKeyInUse(Refusal):
    """The first request with this key is still being answered."""

    retry_after_s: int = 1
    code = "idempotency_key_in_use"
    title = "The first request with this Idempotency-Key is still being answered."

    def facts(self) -> dict[str, Any]:
        return {"retry_after_s": self.retry_after_s}


@dataclass(eq=False)
class ReferenceReused(Refusal):
    """A billing reference already stands for another booking."""

    code = "reference_reused"
    title = "This reference was used for another booking."


@dataclass(eq=False)
class TemporarilyUnavailable(Refusal):
    """The database, the engine or an outside party is away: nothing is lost, the same call can be made again."""

    retry_after_s: int = 5
    code = "temporarily_unavailable"
    title = "The service is temporarily unavailable."

    def facts(self) -> dict[str, Any]:
        return {"retry_after_s": self.retry_after_s}


REFUSALS: Mapping[str, type[Refusal]] = {
    refusal.code: refusal
    for refusal in (
        NotFound,
        InvalidRequest,
        NotEligible,
        WithdrawalInProgress,
        WrongCode,
        CodeExpired,
        TooManyRequests,
        NotPossibleNow,
        FourEyesViolated,
        IdempotencyKeyReused,
        IdempotencyKeyInUse,
        ReferenceReused,
        TemporarilyUnavailable,
    )
}
"""By the contract's code, so that a refusal that crossed Temporal comes out as what it went in."""


class InvariantBroken(Exception):
    """Something that must always hold does not: a bug or a hand in the tables. Nothing moves until a person looked."""
