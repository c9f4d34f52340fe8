"""What becomes of a payload that nobody with a key has written: a value that everybody refuses.

It cannot be an error of the codec: what Temporal has once recorded is decoded again at every replay, and an error there
stops the run for ever. So the codec hands on a payload that says why. The converter makes an error of it where one is
answered (a start fails, an update is rejected), and a value where an error would end or block the run: steps look at
what they are given (``RefusalInterceptor``), and the story at what it is answered.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import ActivitySerializationContext, SerializationContext, WithSerializationContext
from temporalio.exceptions import ApplicationError

T = TypeVar("T")

REFUSED = "payload_refused"
ENCODING = b"binary/refused"
NOT_ENCRYPTED = "it is not encrypted: send it through the codec server"
ANOTHER_RUN = "it was written for another run"
CHANGED = "it was changed, or written for another namespace"
STEP_BY_HAND = "a step's input or result is never written by hand"
BY_HAND = "written-by-hand"
"""In the metadata of a payload that the codec server has encoded: it is bound to no run."""


@dataclass(frozen=True)
class RefusedPayload:
    """Stands where the value would be; ``reason`` is ours to show, and holds nothing of the payload."""

    reason: str


def refused_payload(reason: str) -> Payload:
    """What the codec hands on instead of what it got."""
    return Payload(metadata={"encoding": ENCODING}, data=reason.encode())


def genuine(value: T) -> T:
    """The value; an ``ApplicationError``, which a workflow survives, if it was refused."""
    if isinstance(value, RefusedPayload):
        raise _error(value.reason)
    return value


class CarefulPayloadConverter(PydanticPayloadConverter, WithSerializationContext):
    """Pydantic's converter for what was opened, and a refusal for what was not."""

    def __init__(self) -> None:
        # Each run makes a converter of its own, and would have pydantic think all our types over again.
        self.__dict__ |= _shared_converter().__dict__
        self._in_activity = False

    def with_context(self, context: SerializationContext) -> CarefulPayloadConverter:
        """The same converter, which knows whether the value belongs to an activity."""
        copy = CarefulPayloadConverter.__new__(CarefulPayloadConverter)
        copy.__dict__ = self.__dict__ | {"_in_activity": isinstance(context, ActivitySerializationContext)}
        return copy

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """As pydantic's; raises ``ApplicationError`` for a refused payload unless the caller can bear the value."""
        reasons = [self._refusal(payload) for payload in payloads]
        if not any(reasons):
            return super().from_payloads(payloads, type_hints)
        values: list[Any] = []
        for number, (payload, reason) in enumerate(zip(payloads, reasons, strict=True)):
            hint = type_hints[number] if type_hints is not None and number < len(type_hints) else None
            if reason is None:
                values += super().from_payloads([payload], None if hint is None else [hint])
            elif hint is Any or self._in_activity:
                values.append(RefusedPayload(reason))
            else:
                raise _error(reason)
        return values

    def _refusal(self, payload: Payload) -> str | None:
        if payload.metadata.get("encoding") == ENCODING:
            return payload.data.decode()
        if self._in_activity and BY_HAND in payload.metadata:
            return STEP_BY_HAND
        return None


@functools.cache
def _shared_converter() -> PydanticPayloadConverter:
    return PydanticPayloadConverter()


def _error(reason: str) -> ApplicationError:
    return ApplicationError(reason, type=REFUSED, non_retryable=True)
