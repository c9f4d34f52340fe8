"""A token issuer whose private key only the tests have."""

from __future__ import annotations

from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.api.clock import ManualClock

ISSUER = "https://issuer.test"
AUDIENCE = "withdrawals"


class TestIssuer:
    """Signs what it is told to, and is the key source of the app under test."""

    __test__ = False

    def __init__(self, clock: ManualClock) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "test-key"})
        self._clock = clock

    async def key_set(self, _: str | None) -> KeySet:
        """The public half."""
        return KeySet([ECKey.import_key(self.key.as_dict(private=False))])

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good claims of acct_1001's customer; a change to None leaves the claim out."""
        now = int(self._clock().timestamp())
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "customer-1",
            "scope": "withdrawals",
            "account_id": "acct_1001",
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
        }
        return {name: value for name, value in (good | changed).items() if value is not None}

    def token(self, *, key: Any = None, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A signed token; everything about it can be spoiled."""
        signed_with = header or {"alg": "ES256", "kid": "test-key"}
        return jwt.encode(
            signed_with, self.claims(**changed), key or self.key, algorithms=["ES256", "RS256", "HS256", "none"]
        )
