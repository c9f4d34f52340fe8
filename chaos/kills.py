"""SIGKILL: at random to each process of the stack in turn, at times two together, and at the failpoints it arms."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections.abc import Callable

from chaos.healing import API, POSTGRES, PROCESSES, SANDBOX, TEMPORAL, WORKER, Kills
from chaos.journal import Journal
from chaos.points import Arming
from stack.local import LocalStack
from stack.processes import Process, ProcessFailed

_START_AGAIN_TRIES = 3
_LOOK_EVERY = 0.25


class Killer:
    """Works in the thread that started the stack: a process dies with the thread that started it."""

    def __init__(self, stack: LocalStack, journal: Journal, arming: Arming, chance: random.Random) -> None:
        self.kills = Kills()
        self.at_failpoints = Kills()
        self.ended_by_themselves: list[str] = []
        self._stack = stack
        self._journal = journal
        self._arming = arming
        self._chance = chance
        self._round: list[str] = []

    def strike_until(self, over: Callable[[], bool], *, at_least: int, every: float, until: float) -> None:
        """Strikes on average every `every` seconds until `over` says so and enough died, or `until` has come.

        Every other strike arms a failpoint. What died is started again.
        """
        for strike in itertools.count():
            if (over() and self.deaths >= at_least) or time.monotonic() > until:
                return
            self._pause(every * self._chance.uniform(0.3, 1.7), until)
            if strike % 2:
                self._arming.arm_one()
            else:
                self._kill(2 if self._chance.random() < 0.15 else 1)

    @property
    def deaths(self) -> int:
        """By SIGKILL, at failpoints and elsewhere."""
        return len(self.kills.at) + len(self.at_failpoints.at)

    def look_after(self) -> None:
        """Starts what has ended: at a failpoint, or by itself, which is remembered."""
        for name in PROCESSES:
            code = self._process(name).exit_code
            if code is None:
                continue
            if code == -signal.SIGKILL and name in (API, WORKER) and self._new_hits():
                self.at_failpoints.at.append((name, time.monotonic()))
            else:
                self.ended_by_themselves.append(f"{name} ended by itself with exit code {code}")
                self._journal.note("ended_by_itself", process=name, exit_code=code)
            self._start_again(name)

    def _new_hits(self) -> bool:
        return self._arming.taken().total() > len(self.at_failpoints.at)

    def _kill(self, count: int) -> None:
        names = list(dict.fromkeys(self._next() for _ in range(count)))
        for name in names:
            if self._process(name).exit_code is not None:
                continue  # It died at a failpoint a moment ago.
            self._process(name).kill()
            self.kills.at.append((name, time.monotonic()))
            self._journal.note("kill", process=name)
        time.sleep(self._chance.uniform(0.2, 2.0))
        for name in names:
            self._start_again(name)

    def _next(self) -> str:
        if not self._round:
            self._round = list(PROCESSES)
            self._chance.shuffle(self._round)
        return self._round.pop()

    def _start_again(self, name: str) -> None:
        for left in reversed(range(_START_AGAIN_TRIES)):
            try:
                if name == POSTGRES:
                    self._stack.postgres.start_again()
                elif name == TEMPORAL:
                    self._stack.temporal.start_again()
                else:
                    self._process(name).start_again()
            except ProcessFailed:
                if not left:
                    raise
            else:
                self._journal.note("started_again", process=name)
                return

    def _process(self, name: str) -> Process:
        return {
            API: self._stack.api,
            WORKER: self._stack.worker,
            SANDBOX: self._stack.sandbox,
            POSTGRES: self._stack.postgres.process,
            TEMPORAL: self._stack.temporal.process,
        }[name]

    def _pause(self, seconds: float, until: float) -> None:
        """Waits, and meanwhile starts again what died."""
        deadline = min(time.monotonic() + seconds, until)
        while (left := deadline - time.monotonic()) > 0:
            self.look_after()
            time.sleep(min(left, _LOOK_EVERY))
