"""Sandbox: what a test or a developer turns while it runs, kept in the book across restarts."""

from __future__ import annotations

import functools
import sqlite3
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.book import Book

Seconds = Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Switches(BaseModel):
    """Times in seconds, rates from 0 to 1. They hold at once, for transfers under way as well."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    settle_after_s: Seconds = 2.0
    """From submission to outcome."""
    return_after_s: Seconds = 2.0
    """From payment to return."""
    latency_s: Seconds = 0.0
    """Each bank call waits this long before it is looked at."""
    hold_answer_s: Seconds = 30.0
    """How long time_out_after_booking keeps its caller waiting."""
    unavailable: bool = False
    """The whole bank interface answers 503."""
    failure_rate: Rate = 0.0
    """Bank calls answered 503 with nothing done."""
    lost_answer_rate: Rate = 0.0
    """Submissions answered 503 although they were booked."""
    notify: bool = True
    """Outcomes are notified at all."""
    drop_notifications: bool = False
    """They are lost on the way."""
    duplicate_notifications: bool = False
    """Each arrives twice, with one webhook-id."""
    reorder_notifications: bool = False
    """They arrive up to a second late, in any order."""
    sms_unavailable: bool = False
    """The SMS interface answers 503."""


def read_switches(connection: sqlite3.Connection) -> Switches:
    """The switches as they stand in this transaction."""
    return _parse(connection.execute("SELECT json FROM switches").fetchone())


def current_switches(book: Book) -> Switches:
    """The switches as they stand now."""
    return _parse(next(iter(book.read("SELECT json FROM switches")), None))


def turn_switches(book: Book, changed: dict[str, Any]) -> Switches:
    """Change those named, leave the others; an unknown name or a bad value changes nothing.

    Raises pydantic's ValidationError.
    """
    with book.transaction() as connection:
        switches = Switches.model_validate({**read_switches(connection).model_dump(), **changed})
        connection.execute("INSERT OR REPLACE INTO switches VALUES (1, ?)", (switches.model_dump_json(),))
    return switches


def _parse(row: sqlite3.Row | None) -> Switches:
    return Switches() if row is None else _switches(row["json"])


@functools.lru_cache(8)
def _switches(json: str) -> Switches:
    """They are asked for at each call, and hardly ever changed."""
    return Switches.model_validate_json(json)


def switch_routes(book: Book) -> APIRouter:
    """`/_sandbox/settings`."""
    routes = APIRouter(tags=["sandbox"])

    @routes.get("/_sandbox/settings")
    def show_settings() -> Switches:
        return current_switches(book)

    @routes.put("/_sandbox/settings")
    def change_settings(changed: Annotated[dict[str, Any], Body()]) -> Switches:
        """Partial: what is not named keeps its value."""
        try:
            return turn_switches(book, changed)
        except ValidationError as refused:
            raise RequestValidationError(refused.errors()) from refused

    return routes
