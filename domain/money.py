"""Money is an integer number of fen (1 yuan = 100 fen); only the edges speak yuan."""

from __future__ import annotations

import re

_YUAN = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?", re.ASCII)


def parse_yuan(text: str) -> int:
    """Reads a customer's amount such as ``"1234.5"`` and returns fen.

    Accepts ``^(0|[1-9][0-9]{0,11})(\\.[0-9]{1,2})?$`` in ASCII digits, more than zero; anything else is a
    ``ValueError``, so that no sign, exponent, separator or third decimal is ever guessed at.
    """
    match = _YUAN.fullmatch(text)
    if match is None:
        raise ValueError("an amount is yuan with at most two decimals, such as 1234.56")
    yuan, decimals = match.groups()
    fen = int(yuan) * 100 + int((decimals or "").ljust(2, "0"))
    if fen == 0:
        raise ValueError("an amount is more than zero")
    return fen


def format_yuan(fen: int) -> str:
    """Writes fen as yuan with two decimals: ``123456`` becomes ``"1234.56"``, ``-5`` becomes ``"-0.05"``."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"
