"""What a command answers: tables for people, JSON for programs, and whether something is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.shanghai import SHANGHAI


@dataclass(frozen=True)
class Grid:
    """A table: a title, the columns' heads, the rows."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Answer:
    """``content`` is the JSON, ``grids`` the same for people; without ``problems`` all is well."""

    content: Mapping[str, Any]
    grids: Sequence[Grid] = ()
    problems: Sequence[str] = ()
    lines: Sequence[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if all is well, 1 if not."""
        return 1 if self.problems else 0

    def print(self, console: Console, *, as_json: bool) -> None:
        """To the terminal, or as one JSON document with ``problems`` in it."""
        if as_json and self.content:
            document = {**self.content, "problems": list(self.problems)}
            text = json.dumps(document, default=_as_json, ensure_ascii=False, indent=2)
            console.print(text, markup=False, highlight=False, soft_wrap=True)
            return
        for grid in self.grids:
            console.print(_table(grid))
        for line in self.lines:
            console.print(Text(line))
        for problem in self.problems:
            console.print(Text(f"! {problem}", style="bold red"))


def how_long(duration: timedelta) -> str:
    """As precisely as anybody reads it: ``3 d 4 h``, ``5 h 7 min``, ``12 min``, ``59 s``; nothing below zero."""
    seconds = max(int(duration.total_seconds()), 0)
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if seconds < 60:
        return f"{seconds} s"
    parts = ((days, "d"), (hours, "h")) if days else ((hours, "h"), (minutes, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def _table(grid: Grid) -> Table:
    table = Table(title=grid.title, title_justify="left", header_style="bold")
    for head in grid.heads:
        # Ids are copied from here: they are never cut.
        table.add_column(head, no_wrap=head == "withdrawal", overflow="fold")
    for row in grid.rows:
        # Text, not markup: what a bank or a failure says is shown, not obeyed.
        table.add_row(*(Text(_as_text(cell)) for cell in row))
    return table


def _as_text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"
    text = str(value)
    # A terminal obeys control characters.
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


def _as_json(value: object) -> str:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (UUID, StrEnum)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in an answer")
