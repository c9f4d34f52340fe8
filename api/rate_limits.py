"""How often a caller may call: token buckets in the memory of this process.

Each process counts for itself: with four of them a caller may come four times as often.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from domain.errors import TooManyRequests

MOST_BUCKETS = 10_000


@dataclass(frozen=True)
class Rate:
    """``per_second`` calls for as long as one likes, and ``burst`` at once after a rest."""

    per_second: float
    burst: int


class Buckets:
    """One bucket for each name; a full bucket is the same as none, so only those not full take memory.

    At most ``MOST_BUCKETS`` are kept. Beyond that the one unused for longest is forgotten, and so full again: to
    win anything by it, it takes ten thousand names the issuer vouches for.
    """

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic, most: int = MOST_BUCKETS) -> None:
        self._rate = rate
        self._clock = clock
        self._most = most
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, name: Hashable) -> None:
        """Takes a token; ``TooManyRequests`` with the whole seconds until there is one, and then takes none."""
        now = self._clock()
        full_at = max(self._full_at.get(name, now), now) + 1 / self._rate.per_second
        overdrawn_s = full_at - now - self._rate.burst / self._rate.per_second
        # A rounding of the clock must not cost the last token of the burst.
        if overdrawn_s > 1e-9:
            raise TooManyRequests(retry_after_s=max(1, math.ceil(overdrawn_s)))
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        self._forget_full_ones(now)

    def __len__(self) -> int:
        return len(self._full_at)

    def _forget_full_ones(self, now: float) -> None:
        while len(self._full_at) > 1:
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= self._most:
                return
            del self._full_at[oldest]


class CallLimits:
    """Who may call how often: people by subject, the billing system by subject, strangers by address."""

    def __init__(self, people: Rate, billing: Rate, strangers: Rate) -> None:
        self._people = Buckets(people)
        self._billing = Buckets(billing)
        self._strangers = Buckets(strangers)

    def count_caller(self, subject: str, *, billing: bool) -> None:
        """``TooManyRequests`` for a caller who comes too often; billing's calls are counted apart."""
        (self._billing if billing else self._people).take(subject)

    def count_stranger(self, address: str | None) -> None:
        """``TooManyRequests`` for an address with too many calls that could not be authenticated.

        Only those are counted, and only those are refused: whoever shares an address with a stranger, behind one
        gateway, is not locked out by them.
        """
        self._strangers.take(_network(address or ""))


def _network(address: str) -> str:
    """The address, or of IPv6 the /64: one host has a whole one to choose from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
