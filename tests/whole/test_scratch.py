from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.whole.waiting import at_once
from tests.whole.world import World


def test_many_verifies(world: World) -> None:
    customer = world.customer(cash="60000.00")
    withdrawal_id = customer.applied("50000.00")
    code = customer.code()
    t = time.monotonic()
    with ThreadPoolExecutor(16) as ex:
        print(
            Counter(a.status_code for a in ex.map(lambda _: customer.enter(withdrawal_id, code), range(2100))),
            time.monotonic() - t,
        )
    print("decide", world.decide(withdrawal_id, "approve", by="fin-1").text)
    print("cancel", customer.cancel(withdrawal_id).text)


def test_race_cancel_code(world: World) -> None:
    customers = [world.customer(cash="60000.00") for _ in range(10)]
    ids = at_once(*(partial(c.applied, "50000.00") for c in customers))
    calls = []
    for c, i in zip(customers, ids):
        calls += [partial(c.enter, i, c.code()), partial(c.cancel, i)]
    random.shuffle(calls)
    print(Counter((a.status_code, a.json().get("code")) for a in at_once(*calls)))
    print(Counter(c.status(i) for c, i in zip(customers, ids)))


def test_race_decide(world: World) -> None:
    customers = [world.customer(cash="60000.00") for _ in range(10)]
    ids = at_once(*(partial(c.verified, "50000.00") for c in customers))
    calls = []
    for c, i in zip(customers, ids):
        calls += [
            partial(world.decide, i, "approve", by="fin-1"),
            partial(world.decide, i, "reject", by="fin-2"),
            partial(c.cancel, i),
        ]
    random.shuffle(calls)
    print(Counter((a.status_code, a.json().get("code")) for a in at_once(*calls)))
    print(Counter(c.status(i) for c, i in zip(customers, ids)))
