"""What goes wrong besides kills: a bank with moods, lost and forged notifications, cut commits, careless operators."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from standardwebhooks import Webhook

from chaos.calls import Calls
from chaos.journal import Journal
from chaos.operators import Operators
from chaos.wire import Wire

WELL_BEHAVED = {
    "settle_after_s": 0.6,
    "return_after_s": 1.0,
    "hold_answer_s": 1.0,
    "latency_s": 0.0,
    "unavailable": False,
    "failure_rate": 0.0,
    "lost_answer_rate": 0.0,
    "notify": True,
    "drop_notifications": False,
    "duplicate_notifications": False,
    "reorder_notifications": False,
    "sms_unavailable": False,
}
"""Quick, and without a fault."""

OPEN_STATUSES = ("awaiting_verification", "awaiting_approval", "processing", "under_review")


class Troubles:
    """Each kind in a thread of its own, until told to stop; counted where nobody else counts."""

    def __init__(self, calls: Calls, operators: Operators, wire: Wire, journal: Journal, secret: str) -> None:
        self.forged: Counter[str] = Counter()
        self.moods = 0
        self._calls = calls
        self._operators = operators
        self._wire = wire
        self._journal = journal
        self._secret = secret
        self._over = threading.Event()

    @contextlib.contextmanager
    def going_on(self, seed: int, some_withdrawal: Callable[[], str | None], *, every: float) -> Iterator[None]:
        """`every` is the mean pause between two cut commits in seconds; the others follow from it."""
        statuses = itertools.cycle(OPEN_STATUSES)
        moments = itertools.cycle(("after", "before"))

        def forge(chance: random.Random) -> None:
            self._forge(chance, some_withdrawal())

        kinds: dict[str, tuple[Callable[[random.Random], object], float]] = {
            "moods": (self._change_mood, 3.0),
            "commits": (lambda _: self._wire.arm(next(moments)), every),
            "terminations": (lambda _: self._operators.terminate_one(next(statuses)), 4 * every),
            "forgeries": (forge, 2 * every),
            "statements": (lambda _: self._operators.match_statements(), 15.0),
        }
        threads = [
            threading.Thread(target=self._repeat, args=(*what, random.Random(f"{seed}:{kind}")), name=kind, daemon=True)
            for kind, what in kinds.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(30)
            self._wire.disarm()

    def _repeat(self, what: Callable[[random.Random], object], every: float, chance: random.Random) -> None:
        while not self._over.wait(every * chance.uniform(0.4, 1.6)):
            what(chance)

    def _change_mood(self, chance: random.Random) -> None:
        mood = {
            "latency_s": chance.choice((0.0, 0.0, 0.1, 0.6)),
            "unavailable": chance.random() < 0.06,
            "failure_rate": chance.choice((0.0, 0.0, 0.1, 0.3)),
            "lost_answer_rate": chance.choice((0.0, 0.1, 0.25)),
            "drop_notifications": chance.random() < 0.25,
            "duplicate_notifications": chance.random() < 0.3,
            "reorder_notifications": chance.random() < 0.3,
            "sms_unavailable": chance.random() < 0.06,
        }
        self.moods += 1
        self._journal.note("mood", **mood)
        self._calls.sandbox("settings", "PUT", "/_sandbox/settings", mood)

    def _forge(self, chance: random.Random, withdrawal_id: str | None) -> None:
        """Unsigned, signed by nobody's key, or signed and untrue: none of them moves a fen."""
        kind = chance.choice(("unsigned", "wrong_key", "untrue", "unknown_transfer"))
        ref = str(uuid.UUID(int=chance.getrandbits(128))) if kind == "unknown_transfer" else withdrawal_id
        if ref is None:
            return
        now, webhook_id = datetime.now(UTC), f"msg_{chance.getrandbits(64):x}"
        data = {"client_ref": ref, "bank_ref": "forged", "state": chance.choice(("succeeded", "failed", "returned"))}
        body = json.dumps({"type": "transfer.updated", "timestamp": now.isoformat(), "data": data})
        headers = {"content-type": "application/json", "webhook-id": webhook_id}
        if kind != "unsigned":
            secret = "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw" if kind == "wrong_key" else self._secret
            headers["webhook-timestamp"] = str(int(now.timestamp()))
            headers["webhook-signature"] = Webhook(secret).sign(webhook_id, now, body)
        answer = self._calls.forged_notification(kind, body, headers)
        self.forged[kind] += 1
        believed = kind in ("unsigned", "wrong_key") and answer.status not in (0, 401, 503)
        if believed or answer.status == 500:
            self._calls.surprises.append(f"a forged notification ({kind}) was answered {answer.status}")
