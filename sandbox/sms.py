"""Sandbox: the SMS provider, and the inbox of every phone."""

from __future__ import annotations

import re
import uuid
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from sandbox.book import Book, Clock, as_rfc3339
from sandbox.errors import Refusal
from sandbox.switches import current_switches

INBOX_LIMIT = 100

# The code stands close behind the word, in the same clause: an amount or a card's last digits are not it.
CODE = re.compile(r"验证码[^0-9。，,；;]{0,8}([0-9]{6})(?!\.?[0-9])")


class OutgoingMessage(BaseModel):
    """What a client of the SMS provider sends."""

    model_config = ConfigDict(extra="forbid")

    to: Annotated[str, Field(pattern=r"^1[3-9][0-9]{9}$")]
    text: Annotated[str, Field(min_length=1, max_length=500)]


class TakenMessage(BaseModel):
    """The provider has it; nothing is said about delivery."""

    message_id: str


class ReceivedMessage(BaseModel):
    """A message as it lies in the phone's inbox, with the phone code read out of it, if it holds one."""

    to: str
    text: str
    code: str | None
    sent_at: str


def read_code(text: str) -> str | None:
    """The six digits behind 验证码, or None."""
    found = CODE.search(text)
    return found.group(1) if found else None


def sms_routes(book: Book, clock: Clock) -> APIRouter:
    """`/messages` for the client, `/_sandbox/messages` for whoever plays the customer."""
    routes = APIRouter(tags=["sms"])

    @routes.post("/messages", status_code=202)
    def send_message(message: OutgoingMessage) -> TakenMessage:
        if current_switches(book).sms_unavailable:
            raise Refusal(503, "unavailable", "The SMS provider cannot answer now.")
        message_id = f"sms_{uuid.uuid4().hex}"
        with book.transaction() as connection:
            connection.execute(
                "INSERT INTO messages (message_id, recipient, text, sent_at) VALUES (?, ?, ?, ?)",
                (message_id, message.to, message.text, clock()),
            )
        return TakenMessage(message_id=message_id)

    @routes.get("/_sandbox/messages")
    def show_inbox(phone: str) -> list[ReceivedMessage]:
        """The newest first, a hundred at most."""
        rows = book.read("SELECT * FROM messages WHERE recipient = ? ORDER BY id DESC LIMIT ?", (phone, INBOX_LIMIT))
        return [
            ReceivedMessage(
                to=row["recipient"],
                text=row["text"],
                code=read_code(row["text"]),
                sent_at=as_rfc3339(row["sent_at"]),
            )
            for row in rows
        ]

    return routes
