"""The codec: AES-256-GCM, with the key's id beside each payload, bound to the namespace and to the run."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Self

import structlog
from cryptography.exceptions import InvalidTag
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from payloads.keys import KeyMissing, PayloadKeys
from payloads.refused import (
    ANOTHER_RUN,
    BY_HAND,
    CHANGED,
    NOT_ENCRYPTED,
    CarefulPayloadConverter,
    refused_payload,
)

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
WORKFLOW_ID = "encryption-workflow-id"
"""Which run the payload was written for; absent where the codec server wrote it, which is not told."""

KNOWN_AT_ONCE = 2_000
"""How many bound converters are kept, two a run: each payload asks for one, and they never change."""
_NONCE_BYTES = 12
_SCHEDULED_AT = re.compile(r"-\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")

log = structlog.get_logger()

Count = Callable[[str], None]
"""Hears ``key_missing`` and ``refused``, for the metrics of whoever wires this."""


def count_nothing(_: str) -> None:
    """For those without metrics."""


@dataclass(frozen=True)
class EncryptedPayloads(PayloadCodec, WithSerializationContext):
    """Encrypts whole payloads. ``decode`` raises ``KeyMissing``, which pauses; all else that does not open is refused.

    What is refused stays refused at every replay: it depends on the payload and on the run alone, never on which keys
    are there.
    """

    keys: PayloadKeys = field(repr=False)
    namespace: str
    count: Count = field(default=count_nothing, repr=False)
    workflow_id: str | None = None
    """The run in whose history the payload stands; None outside of one."""

    def with_context(self, context: SerializationContext) -> Self:
        """The codec for one run."""
        if isinstance(context, WorkflowSerializationContext | ActivitySerializationContext):
            # An activity without a workflow has a run of no name: nothing that belongs to a workflow opens there.
            return replace(self, workflow_id=context.workflow_id or "")
        return self

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload encrypted with the current key."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload as it was, or one that says why it is refused."""
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        key_id, cipher = self.keys.current()
        nonce = os.urandom(_NONCE_BYTES)
        sealed = cipher.encrypt(nonce, payload.SerializeToString(), self._bound(key_id, self.workflow_id))
        metadata = {"encoding": ENCODING, KEY_ID: key_id.encode()}
        if self.workflow_id is not None:
            metadata[WORKFLOW_ID] = self.workflow_id.encode()
        return Payload(metadata=metadata, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return self._refuse(NOT_ENCRYPTED)
        written_for = _text(payload.metadata.get(WORKFLOW_ID))
        if written_for is not None and self.workflow_id is not None and not _same(written_for, self.workflow_id):
            return self._refuse(ANOTHER_RUN)
        key_id = _text(payload.metadata.get(KEY_ID)) or ""
        try:
            cipher = self.keys.cipher(key_id)
        except KeyMissing:
            # Without the traceback: some ways of showing one draw the variables too.
            log.error("payload_key_missing", key_id=key_id[:80], workflow_id=self.workflow_id)  # noqa: TRY400
            self.count("key_missing")
            raise
        nonce, sealed = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
        opened = Payload()
        try:
            opened.ParseFromString(cipher.decrypt(nonce, sealed, self._bound(key_id, written_for)))
        except (InvalidTag, ValueError):
            return self._refuse(CHANGED)
        if written_for is None:
            opened.metadata[BY_HAND] = b"1"
        return opened

    def _refuse(self, reason: str) -> Payload:
        log.warning("payload_refused", reason=reason, workflow_id=self.workflow_id)
        self.count("refused")
        return refused_payload(reason)

    def _bound(self, key_id: str, workflow_id: str | None) -> bytes:
        return _bound_to(key_id, self.namespace, workflow_id)


@dataclass(frozen=True)
class _OneRunAtATime(DataConverter):
    """Bound to a run by its codec and its payload converter, without making everything else anew for each payload."""

    _known: dict[tuple[object, ...], Self] = field(default_factory=dict, init=False, repr=False, compare=False)

    def with_context(self, context: SerializationContext) -> Self:
        if not isinstance(context, WorkflowSerializationContext | ActivitySerializationContext):
            return self._bind(context)
        run = (type(context), context.workflow_id)
        bound = self._known.get(run)
        if bound is None:
            if len(self._known) >= KNOWN_AT_ONCE:
                self._known.clear()
            bound = self._known[run] = self._bind(context)
        return bound

    def _bind(self, context: SerializationContext) -> Self:
        bound = copy(self)
        for part in ("payload_converter", "payload_codec"):
            object.__setattr__(bound, part, getattr(self, part).with_context(context))
        return bound


@functools.lru_cache(KNOWN_AT_ONCE)
def _bound_to(key_id: str, namespace: str, workflow_id: str | None) -> bytes:
    return json.dumps([ENCODING.decode(), key_id, namespace, workflow_id]).encode()


def data_converter(keys: PayloadKeys | None, namespace: str, count: Count = count_nothing) -> DataConverter:
    """What every client and worker of ours converts with; without keys nothing is encrypted, and nothing refused."""
    if keys is None:
        return pydantic_data_converter
    return _OneRunAtATime(
        payload_converter_class=CarefulPayloadConverter,
        payload_codec=EncryptedPayloads(keys, namespace, count),
        # Messages and stack traces of failures are payloads too.
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def _same(written_for: str, workflow_id: str) -> bool:
    """A schedule's payloads are written for the id it was given; its runs are called by that and the time."""
    return written_for in (workflow_id, _SCHEDULED_AT.sub("", workflow_id))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
