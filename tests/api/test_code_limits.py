"""Too many codes or wrong tries for one day: 429 with the time until midnight in Shanghai, and nothing changes."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from tests.api.clock import ManualClock
from tests.api.console import Console, Json, refused
from tests.api.played_engine import PlayedEngine

MIDNIGHT = timedelta(hours=14)
"""The tests begin at ten in the morning."""


def told_to_wait(answer: httpx.Response, wait: timedelta) -> None:
    """The header says the same as the document, and no more is said."""
    problem = refused(answer, 429, "too_many_requests")
    assert int(answer.headers["retry-after"]) == problem["retry_after_s"] == wait.total_seconds()
    assert not {"attempts_left", "errors"} & problem.keys()


async def cancel(console: Console, withdrawal: Json) -> None:
    """The customer cancels."""
    path = f"/v1/withdrawals/{withdrawal['id']}/cancel"
    answer = await console.as_customer("POST", path, of=withdrawal["account_id"])
    assert answer.status_code == 200, answer.text


async def test_a_sixth_code_to_one_phone_is_refused(console: Console, clock: ManualClock, engine: PlayedEngine) -> None:
    """For whichever of its accounts it would be; no SMS goes out, and the key can be used tomorrow."""
    for _ in range(5):
        await cancel(console, await console.applied())
    sent = len(engine.codes)
    async with console.nothing_changes():
        told_to_wait(await console.apply(key="the-sixth"), MIDNIGHT)
        told_to_wait(await console.apply(of="acct_2002"), MIDNIGHT)
    assert len(engine.codes) == sent
    clock.move_on(MIDNIGHT)
    assert (await console.apply(key="the-sixth")).status_code == 201


async def test_resends_count_too(console: Console, clock: ManualClock) -> None:
    """Three applications and two resends; the third resend would be the sixth code."""
    for _ in range(2):
        await cancel(console, await console.applied())
    withdrawal = await console.applied()
    path = f"/v1/withdrawals/{withdrawal['id']}/verification/resend"
    for _ in range(2):
        clock.move_on(timedelta(minutes=1))
        assert (await console.as_customer("POST", path)).status_code == 202
    clock.move_on(timedelta(minutes=1))
    code = console.code(withdrawal)
    async with console.nothing_changes():
        told_to_wait(await console.as_customer("POST", path), MIDNIGHT - timedelta(minutes=3))
    assert console.code(withdrawal) == code
    assert (await console.verify(withdrawal)).status_code == 200, "the code that was sent is still good"


@pytest.mark.parametrize("right", [True, False])
async def test_a_sixteenth_try_is_not_looked_at(console: Console, right: bool) -> None:
    """Fifteen wrong ones over four applications; the next answer is the same for a right and a wrong code."""
    withdrawal: Json = {}
    for tries in (4, 4, 4, 3):
        withdrawal = await console.applied()
        for number in range(tries):
            problem = refused(await console.verify(withdrawal, console.wrong_code(withdrawal)), 422, "wrong_code")
            assert problem["attempts_left"] == tries - number - (tries == 3)
        if tries == 4:
            await cancel(console, withdrawal)
    async with console.nothing_changes():
        code = console.code(withdrawal) if right else console.wrong_code(withdrawal)
        told_to_wait(await console.verify(withdrawal, code), MIDNIGHT)


async def test_fifteen_wrong_tries_end_the_days_applications(console: Console, clock: ManualClock) -> None:
    """Three applications guessed to their end; a fourth is refused before it is recorded, until tomorrow."""
    for _ in range(3):
        withdrawal = await console.applied()
        for left in (4, 3, 2, 1, 0):
            wrong = await console.verify(withdrawal, console.wrong_code(withdrawal))
            assert refused(wrong, 422, "wrong_code")["attempts_left"] == left
        refused(await console.verify(withdrawal), 409, "code_expired")
    async with console.nothing_changes():
        told_to_wait(await console.apply(), MIDNIGHT)
    assert (await console.apply(of="acct_2002")).status_code == 201, "another account's tries are its own"
    clock.move_on(MIDNIGHT)
    assert (await console.verify(await console.applied())).status_code == 200


async def test_what_the_rules_forbid_is_said_first(console: Console) -> None:
    """A customer who may not withdraw at all is not sent away until tomorrow only."""
    for _ in range(5):
        await cancel(console, await console.applied())
    async with console.nothing_changes():
        refused(await console.apply(amount="1080.01"), 422, "not_eligible")
