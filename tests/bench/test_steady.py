"""The rate that lasts."""

from __future__ import annotations

import asyncio

import pytest

from bench.steady import AT_ONCE, Pace, rate


async def test_only_what_ends_while_it_counts_is_counted() -> None:
    """So many run at a time throughout, and none is cut off at the end."""
    begun, done, at_its_begin, counted = 0, 0, [0], [0]

    async def one() -> None:
        nonlocal begun, done
        begun += 1
        assert begun - done <= AT_ONCE
        await asyncio.sleep(0.01)
        done += 1

    def begins() -> None:
        at_its_begin[0] = done

    def ended(number: int) -> None:
        counted[0] = number
        assert number == done - at_its_begin[0]

    measured = await rate(Pace(lead_in=0.1, counted=0.2), one, begins=begins, ended=ended)
    assert begun == done
    assert 0 < counted[0] < done - at_its_begin[0]
    assert measured == pytest.approx(counted[0] / 0.2, rel=0.5)


async def test_a_failure_ends_the_round() -> None:
    """A round that was not carried out has no rate."""

    async def one() -> None:
        await asyncio.sleep(0)
        raise ConnectionError

    with pytest.raises(ExceptionGroup) as failed:
        await rate(Pace(0.01, 0.01), one)
    assert failed.group_contains(ConnectionError)
