"""What the operators read, word for word."""

from __future__ import annotations

from datetime import timedelta

import pytest

from operations.answers import how_long


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(days=3, hours=4, minutes=59), "3 d 4 h"),
        (timedelta(days=1), "1 d"),
        (timedelta(days=2, minutes=5), "2 d"),
        (timedelta(hours=5, minutes=7, seconds=8), "5 h 7 min"),
        (timedelta(hours=1, seconds=59), "1 h"),
        (timedelta(minutes=12, seconds=30), "12 min"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(0), "0 s"),
        (timedelta(seconds=-3), "0 s"),
    ],
)
def test_a_duration_is_read_at_a_glance(duration: timedelta, words: str) -> None:
    """Two units that follow each other at most: nobody needs the seconds of a day."""
    assert how_long(duration) == words
