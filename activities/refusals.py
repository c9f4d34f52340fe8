"""The one translation of a refusal into Temporal's words, and back."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import DataError, IntegrityError
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

from domain.errors import REFUSALS, InvariantBroken, Refusal, TemporarilyUnavailable
from payloads.refused import genuine


def as_application_error(refusal: Refusal) -> ApplicationError:
    """The refusal under its own code, with its facts as details; asking again would not help."""
    return ApplicationError(
        str(refusal),
        refusal.facts(),
        type=refusal.code,
        non_retryable=True,
        category=ApplicationErrorCategory.BENIGN,  # A no is business as usual: no alarm in logs and metrics.
    )


def as_refusal(error: BaseException | None) -> Refusal | None:
    """The refusal that an error carries, however deep; None if it carries none."""
    while error is not None:
        if isinstance(error, ApplicationError) and error.type is not None and error.type in REFUSALS:
            facts = error.details[0] if error.details else {}
            try:
                return REFUSALS[error.type].from_facts(facts)
            except (AttributeError, KeyError, TypeError, ValueError):
                # Failed by hand, or with facts that nobody with a key has written: a failure, but no refusal of ours.
                return None
        error = error.__cause__
    return None


def as_broken(error: BaseException | None) -> bool:
    """True if an error says that something holds no more that must hold."""
    while error is not None:
        if isinstance(error, ApplicationError) and error.type == INVARIANT_BROKEN:
            return True
        error = error.__cause__
    return False


INVARIANT_BROKEN = "invariant_broken"


def _words_of(broken: Exception) -> str:
    """What may travel into a history: our own words, or the class of PostgreSQL's."""
    return str(broken) if isinstance(broken, InvariantBroken) else f"PostgreSQL refused: {type(broken).__name__}"


class RefusalInterceptor(Interceptor):
    """Lets every activity raise plain domain errors."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Translating(next)


class _Translating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        for word in input.args:
            genuine(word)
        try:
            return await self.next.execute_activity(input)
        except TemporarilyUnavailable:
            raise  # Passes by itself: Temporal tries again.
        except Refusal as refusal:
            raise as_application_error(refusal) from refusal
        except (InvariantBroken, DataError, IntegrityError) as broken:
            # The same arguments would break it again, for ever. The story shows it, and asks anew later.
            raise ApplicationError(_words_of(broken), type=INVARIANT_BROKEN, non_retryable=True) from None
