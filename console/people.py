"""Who is in front of the console."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

WITHDRAWALS = "withdrawals"
FINANCE = "finance"
OPERATIONS = "operations"


@dataclass(frozen=True)
class Person:
    """A customer with an account, or one of finance.

    ``name`` is the authentication subject's for a customer. ``phone`` and ``card`` are known of sandbox customers
    only, for the sandbox corner. ``token`` is there where the vendor's log-in hands it over with each request.
    """

    subject: str
    scopes: tuple[str, ...]
    account_id: str | None = None
    name: str = field(default="", repr=False)
    phone: str | None = field(default=None, repr=False)
    card: dict[str, str] | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def is_customer(self) -> bool:
        return self.account_id is not None and WITHDRAWALS in self.scopes

    @property
    def is_finance(self) -> bool:
        return FINANCE in self.scopes

    @property
    def is_operator(self) -> bool:
        return OPERATIONS in self.scopes

    def as_json(self) -> dict[str, Any]:
        """For a sealed session. A token never goes into one."""
        return {key: value for key, value in asdict(self).items() if key != "token"}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The person of a session that ``as_json`` was sealed into."""
        return cls(**{**value, "scopes": tuple(value["scopes"])})

    @classmethod
    def of_token(cls, token: str) -> Self | None:
        """Whom a token names, which the vendor's log-in put in front of us; None for what is no token.

        The signature is the API's to check, at each call: a forged token shows its own name and nothing else.
        """
        try:
            payload = token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            scopes = tuple(str(claims.get("scope", "")).split())
            account_id = claims.get("account_id")
            return cls(
                subject=str(claims["sub"]),
                scopes=scopes,
                account_id=account_id if isinstance(account_id, str) else None,
                name=str(claims.get("name", "")),
                token=token,
            )
        except (IndexError, KeyError, ValueError, AttributeError):
            return None
