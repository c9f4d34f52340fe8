"""Where a page of the record ended, as an opaque word."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

from ledger.reads import Place

PATTERN = "^[A-Za-z0-9_-]{32}$"
_FORM = struct.Struct(">q16s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def cursor_of(place: Place) -> str:
    """32 characters of base64url."""
    packed = _FORM.pack((place.created_at - _EPOCH) // _MICROSECOND, place.id.bytes)
    return base64.urlsafe_b64encode(packed).decode()


def place_of(cursor: str) -> Place:
    """The place a cursor stands for; ``ValueError`` for anything ``cursor_of`` did not write."""
    try:
        microseconds, key = _FORM.unpack(base64.b64decode(cursor, altchars=b"-_", validate=True))
        return Place(_EPOCH + microseconds * _MICROSECOND, UUID(bytes=key))
    except (binascii.Error, struct.error, OverflowError, ValueError) as error:
        raise ValueError("The cursor is not one of ours.") from error
