"""Is it really the bank that notifies us? (Standard Webhooks)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from standardwebhooks import Webhook, WebhookVerificationError

from api.problems import Unauthenticated


class BankSignature:
    """Checks notifications against every active secret; two are active while one is being rotated."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    def check(self, body: bytes, headers: Mapping[str, str]) -> None:
        """``Unauthenticated`` unless one secret signed exactly these bytes within the last five minutes."""
        for webhook in self._webhooks:
            try:
                webhook.verify(body, dict(headers), json_parse=False)
            # The library lets what it cannot split, decode or compare out as plain errors.
            except (WebhookVerificationError, ValueError, TypeError):
                continue
            return
        raise Unauthenticated(scheme=None)
