"""Whether Temporal answers: its two ways of being away, as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.service import RPCError


class TemporalAway(Exception):
    """Temporal gave no answer to build on; the message says what it gave instead."""


@contextmanager
def reaching_temporal() -> Iterator[None]:
    """Around calls of a client: raises ``TemporalAway`` where it is not reached, or refuses."""
    try:
        yield
    except RPCError as error:
        raise TemporalAway(error.status.name) from None
    except RuntimeError as error:
        # What a failed first connection raises has no type of its own.
        if not str(error).startswith("Failed client connect"):
            raise
        raise TemporalAway("nothing answers at its address") from None
