"""The limits of the phone code (product.md, rule 8)."""

from __future__ import annotations

from datetime import timedelta

CODE_DIGITS = 6
CODE_LIFE = timedelta(minutes=10)
TRIES = 5
SENDS = 5
RESEND_AFTER = timedelta(seconds=60)
