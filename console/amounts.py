"""What people type, as the API reads it: nothing is guessed, only what can mean one thing is written plainly."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?")
_PLAIN = re.compile(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,2})?")


def read_amount(typed: str) -> str:
    """``￥１,２８０`` becomes ``1280``; what is no amount stays as it is, for the API to refuse."""
    text = unicodedata.normalize("NFKC", typed).strip().removeprefix("¥").removeprefix("CNY").strip()
    return text.replace(",", "") if _GROUPED.fullmatch(text) else text


def as_decimal(amount: str) -> Decimal | None:
    """The amount in yuan if it is one (the API's pattern), else None."""
    return Decimal(amount) if _PLAIN.fullmatch(amount) else None


def same_name(one: str, other: str) -> bool:
    """True where the API, too, would find the names to be the same; used to say so sooner, never to let one pass."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return re.sub(r"[\s·•・‧]+", "", unicodedata.normalize("NFKC", name))


def read_digits(typed: str) -> str:
    """A card number or a code without the spaces and hyphens people group them by."""
    return re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", typed))
