"""Who calls: a bearer JWT (RFC 6750, RFC 7519) of the configured issuer, and what its scope allows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.problems import Forbidden, Unauthenticated
from api.rate_limits import CallLimits
from domain.errors import NotFound

ALGORITHMS = ("RS256", "ES256")
"""Pinned: a token can choose neither `none` nor a MAC keyed with a public key."""
CLOCK_SKEW_S = 30
LONGEST_TOKEN = 8192
TYPES = (None, "jwt", "at+jwt", "application/at+jwt")
"""Access tokens only (RFC 9068, 2.1): what the issuer signs for other ends, to log somebody out say, is none."""

WITHDRAWALS = "withdrawals"
FINANCE = "finance"
OPERATIONS = "operations"
BILLING = "billing"

_ACCOUNT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUBJECT = re.compile(r"[^\s\x00-\x1f\x7f]{1,255}")


@dataclass(frozen=True)
class Caller:
    """Whom the issuer vouches for. ``account_id`` is the only account a ``withdrawals`` caller has."""

    subject: str
    scopes: frozenset[str]
    account_id: str | None = None

    @property
    def sees_every_account(self) -> bool:
        """True for our own people: finance and operations."""
        return not self.scopes.isdisjoint((FINANCE, OPERATIONS))

    def own_account(self, account_id: str) -> str:
        """``account_id`` if it is the caller's own; another's account answers exactly as a missing one."""
        if account_id != self.account_id:
            raise NotFound
        return account_id


class KeySource(Protocol):
    """Where the issuer's public keys come from."""

    async def key_set(self, key_id: str | None) -> KeySet:
        """The keys, read anew if ``key_id`` is not among them; ``TemporarilyUnavailable`` without any."""


@dataclass(frozen=True)
class Authenticator:
    """Turns a token into a caller, or refuses with ``Unauthenticated`` and no word about why."""

    keys: KeySource
    issuer: str
    audience: str
    clock: Callable[[], datetime]

    async def authenticate(self, token: str | None) -> Caller:
        """Checks signature, issuer, audience and times, with half a minute of clock skew."""
        if token is None:
            raise Unauthenticated
        try:
            key_set = await self.keys.key_set(_key_id(token))
            claims = jwt.decode(token, key_set, algorithms=ALGORITHMS).claims
            self._registry().validate(claims)
            return _caller(claims)
        # A header nested deeper than the parser goes is a bad token, too.
        except (JoseError, ValueError, RecursionError) as bad:
            raise Unauthenticated(token_was_bad=True) from bad

    def _registry(self) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(self.clock().timestamp()),
            leeway=CLOCK_SKEW_S,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
            exp={"essential": True},
            sub={"essential": True},
        )


def _key_id(token: str) -> str | None:
    if len(token) > LONGEST_TOKEN:
        raise ValueError("longer than any token of ours")
    headers = jws.extract_compact(token.encode()).headers()
    if headers["alg"] not in ALGORITHMS:
        # Refused before the issuer is asked for a key: strangers do not get to send us there.
        raise ValueError("an algorithm we do not accept")
    kind = headers.get("typ")
    if "crit" in headers or "b64" in headers or (kind.lower() if isinstance(kind, str) else kind) not in TYPES:
        # We know no extension a token could insist on (RFC 7515, 4.1.11).
        raise ValueError("a header we do not accept")
    key_id = headers.get("kid")
    return key_id if isinstance(key_id, str) else None


def _caller(claims: dict[str, Any]) -> Caller:
    subject, scope, account_id = claims["sub"], claims.get("scope", ""), claims.get("account_id")
    if not isinstance(scope, str) or _SUBJECT.fullmatch(subject) is None:
        raise ValueError("claims of the wrong form")
    if not isinstance(account_id, str) or _ACCOUNT_ID.fullmatch(account_id) is None:
        account_id = None
    return Caller(subject, frozenset(scope.split()), account_id)


def address_of(request: Request) -> str | None:
    """Where the call came from, as far as the server knows; proxies are believed where it was told to."""
    return request.client.host if request.client else None


_bearer = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT",
    description="`scope` says what the caller may do; `withdrawals` needs the claim `account_id` besides.",
)


def allow(*scopes: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency that lets in one of the scopes; ``withdrawals`` counts only with an account."""

    async def authenticated(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Caller:
        authenticator: Authenticator = request.app.state.parts.authenticator
        limits: CallLimits = request.app.state.parts.limits
        try:
            caller = await authenticator.authenticate(None if credentials is None else credentials.credentials)
        except Unauthenticated:
            limits.count_stranger(address_of(request))
            raise
        limits.count_caller(caller.subject, billing=scopes == (BILLING,))
        usable = caller.scopes if caller.account_id else caller.scopes - {WITHDRAWALS}
        if usable.isdisjoint(scopes):
            raise Forbidden
        return caller

    return authenticated


Customer = Annotated[Caller, Depends(allow(WITHDRAWALS))]
Reader = Annotated[Caller, Depends(allow(WITHDRAWALS, FINANCE, OPERATIONS))]
Approver = Annotated[Caller, Depends(allow(FINANCE))]
