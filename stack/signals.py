"""Ctrl-C and SIGTERM as one exception, raised once, so that everything is stopped in order."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

_ASKING_TO_END: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody asked the program to end. No Exception: nothing that handles failures may take it for one."""


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raises Stopped in the block at the first signal; later ones do not cut the orderly stop short."""

    def stop(number: int, _: FrameType | None) -> None:
        for other in _ASKING_TO_END:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in _ASKING_TO_END}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
