"""Are two written names the same person or company? (product.md, rule 5)"""

from __future__ import annotations

import re
import unicodedata

_IGNORED = re.compile(r"[\s·•・‧]+")


def folded(name: str) -> str:
    """The form under which names are compared: NFKC, without white space and middle dots.

    Look-alike characters of other scripts stay different, and so does letter case: a bank compares the
    registered spelling, and folding more would let money go to another person's account.
    """
    return _IGNORED.sub("", unicodedata.normalize("NFKC", name))


def same_name(one: str, other: str) -> bool:
    """True if both are written the same once folded, and there is a name at all."""
    return folded(one) == folded(other) != ""
