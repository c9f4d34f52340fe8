"""What the operators read, word for word."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from operations.answers import Answer, Grid, how_long


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


def test_every_table_says_whose_times_it_shows_and_no_word_reaches_the_terminal_as_a_command() -> None:
    """What a bank or somebody's reason says is shown, in a cell and below the tables."""
    terminal = Console(width=80, record=True, file=io.StringIO())
    at = datetime(2026, 3, 10, 2, tzinfo=UTC)
    answer = Answer({}, [Grid("Where", ("at", "what"), [[at, "red \x1b[31m"]])], ["gone \x1b[2J"], ["by \x07me"])
    answer.print(terminal, as_json=False)
    shown = terminal.export_text(styles=False)
    assert "Where (times in Shanghai)" in shown
    assert "2026-03-10 10:00:00" in shown
    for words in ("red �[31m", "! gone �[2J", "by �me"):
        assert words in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
