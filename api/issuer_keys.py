"""The issuer's public keys, fetched from its JWKS URL (RFC 7517) and kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from domain.errors import TemporarilyUnavailable

FRESH_S = 300.0
PAUSE_S = 2.0
"""Between two looks at the issuer, whoever asks: unknown key ids must not become a flood there."""

log = structlog.get_logger()


class FetchedKeys:
    """Fetched when first needed, every five minutes, and for a key id not seen before.

    While the issuer is away the last keys stay good; without any, callers are told to come again.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._tried_at: float | None = None
        self._turn = asyncio.Lock()

    async def key_set(self, key_id: str | None) -> KeySet:
        """The issuer's keys as far as they are known."""
        if not self._good_for(key_id):
            # One fetch for all who wait; they look again once it is done.
            async with self._turn:
                if not self._good_for(key_id) and self._may_try():
                    await self._fetch()
        if self._keys is None:
            raise TemporarilyUnavailable(retry_after_s=2)
        return self._keys

    def _good_for(self, key_id: str | None) -> bool:
        if self._keys is None or self._clock() - self._fetched_at > FRESH_S:
            return False
        return key_id is None or any(key.kid == key_id for key in self._keys)

    def _may_try(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= PAUSE_S

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            answer = await self._client.get(self._url)
            answer.raise_for_status()
            self._keys = KeySet.import_key_set(answer.json())
            self._fetched_at = self._clock()
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as failed:
            log.warning("issuer_keys_not_fetched", error=type(failed).__name__)
