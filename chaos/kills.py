"""SIGKILL at random: each process of the stack in turn, in an order of chance, at times two together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from chaos.healing import API, POSTGRES, PROCESSES, SANDBOX, TEMPORAL, WORKER, Kills
from chaos.journal import Journal
from stack.local import LocalStack
from stack.processes import Process, ProcessFailed

_START_AGAIN_TRIES = 3


class Killer:
    """Works in the thread that started the stack: a process dies with the thread that started it."""

    def __init__(self, stack: LocalStack, journal: Journal, chance: random.Random) -> None:
        self.kills = Kills()
        self.ended_by_themselves: list[str] = []
        self._stack = stack
        self._journal = journal
        self._chance = chance
        self._round: list[str] = []

    def strike_until(self, over: Callable[[], bool], *, at_least: int, every: float, until: float) -> None:
        """Kills on average every `every` seconds until `over` says so and there were enough, or `until` has come."""
        while not (over() and len(self.kills.at) >= at_least) and time.monotonic() < until:
            self._pause(every * self._chance.uniform(0.3, 1.7), until)
            self.look_after()
            self._kill(2 if self._chance.random() < 0.15 else 1)

    def look_after(self) -> None:
        """Starts what has ended without being killed, and remembers that it did."""
        for name in PROCESSES:
            code = self._process(name).exit_code
            if code is not None:
                self.ended_by_themselves.append(f"{name} ended by itself with exit code {code}")
                self._journal.note("ended_by_itself", process=name, exit_code=code)
                self._start_again(name)

    def _kill(self, count: int) -> None:
        names = [self._next() for _ in range(count)]
        for name in dict.fromkeys(names):
            self._process(name).kill()
            self.kills.at.append((name, time.monotonic()))
            self._journal.note("kill", process=name)
        time.sleep(self._chance.uniform(0.2, 2.0))
        for name in dict.fromkeys(names):
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
        time.sleep(max(0.0, min(seconds, until - time.monotonic())))
