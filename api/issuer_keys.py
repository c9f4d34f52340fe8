"""The issuer's public keys, fetched from its JWKS URL (RFC 7517) and kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeySet, RSAKey

from api.authentication import ALGORITHMS
from domain.errors import TemporarilyUnavailable

FRESH_S = 300.0
STALE_S = 3600.0
"""How long the last keys are believed while the issuer is away. It issues no token meanwhile, and those out there
live about an hour; and whoever keeps us from the issuer must not keep a withdrawn key good for ever."""
PAUSE_S = 2.0
"""Between two looks at the issuer, whoever asks: unknown key ids must not become a flood there."""
FETCH_S = 3.0
LARGEST_DOCUMENT = 64 * 1024
MOST_KEYS = 32
SHORTEST_RSA_BITS = 2048

log = structlog.get_logger()


class FetchedKeys:
    """Fetched when first needed, every five minutes, and for a key id not seen before.

    While the issuer is away the last keys stay good for an hour, and nobody waits for it; without any, callers are
    told to come again.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        clock: Callable[[], float] = time.monotonic,
        fetch_s: float = FETCH_S,
    ) -> None:
        self._client = client
        self._fetch_s = fetch_s
        self._url = url
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._tried_at: float | None = None
        self._away = False
        self._turn = asyncio.Lock()
        self._behind: asyncio.Task[None] | None = None

    async def key_set(self, key_id: str | None) -> KeySet:
        """The issuer's keys as far as they are known; ``TemporarilyUnavailable`` without any to believe."""
        if not self._is_good_for(key_id, FRESH_S):
            if self._away and self._is_good_for(key_id, STALE_S):
                # The last look failed: this caller's key is known, and need not wait for an issuer that hangs.
                if self._behind is None or self._behind.done():
                    self._behind = asyncio.create_task(self._look_again(key_id))
            else:
                await self._look_again(key_id)
        if self._keys is None or self._age() > STALE_S:
            raise TemporarilyUnavailable(retry_after_s=2)
        return self._keys

    async def _look_again(self, key_id: str | None) -> None:
        # One fetch for all who wait; they look again once it is done.
        async with self._turn:
            if not self._is_good_for(key_id, FRESH_S) and self._may_try():
                await self._fetch()

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _is_good_for(self, key_id: str | None, seconds: float) -> bool:
        if self._keys is None or self._age() > seconds:
            return False
        return key_id is None or any(key.kid == key_id for key in self._keys)

    def _may_try(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= PAUSE_S

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._fetch_s):
                self._keys = _signing_keys(json.loads(await self._document()))
            self._fetched_at, self._away = self._clock(), False
        except (httpx.HTTPError, TimeoutError, JoseError, ValueError, KeyError, TypeError, RecursionError) as failed:
            self._away = True
            log.warning("issuer_keys_not_fetched", error=type(failed).__name__)
        finally:
            # After the try, not before it: one that hung would have used its pause up.
            self._tried_at = self._clock()

    async def _document(self) -> bytes:
        document = bytearray()
        async with self._client.stream("GET", self._url) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                document += chunk
                if len(document) > LARGEST_DOCUMENT:
                    raise ValueError("larger than any key set of an issuer's")
        return bytes(document)


def _signing_keys(document: Any) -> KeySet:
    """The public keys in ``document`` that may sign for us; ``ValueError`` if there is none among them.

    Whatever else is there (other types and curves, keys for encryption, MAC keys, keys too short) is left alone, and
    so cannot take the good ones along (RFC 7517, 5).
    """
    keys: list[Key] = [key for one in document["keys"][:MOST_KEYS] if (key := _signing_key(one)) is not None]
    if not keys:
        raise ValueError("no key that could have signed a token of ours")
    return KeySet(keys)


def _signing_key(one: Any) -> ECKey | RSAKey | None:
    if not isinstance(one, dict) or one.get("use", "sig") != "sig" or one.get("alg") not in (None, *ALGORITHMS):
        return None
    # The public half only: should the issuer publish more, we have no business with it.
    public = {name: one[name] for name in ("kty", "crv", "x", "y", "n", "e", "kid", "alg", "use") if name in one}
    try:
        if one.get("kty") == "EC" and one.get("crv") == "P-256":
            return ECKey.import_key(public)
        if one.get("kty") == "RSA" and len(str(one.get("n"))) * 6 >= SHORTEST_RSA_BITS:
            return RSAKey.import_key(public)
    except (JoseError, ValueError, TypeError, KeyError):
        log.warning("issuer_key_not_usable", kid=str(one.get("kid"))[:64])
    return None
