"""The SMS gateway over real HTTP: only a 202 is a message that was sent, and a failure never quotes the code."""

from __future__ import annotations

import json

import pytest
from aiohttp import ClientTimeout

from outside import session_to
from sms.client import HttpSmsGateway, SmsNotSent
from tests.answering import answer, answering

PHONE, TEXT = "13800001234", "验证码123456"


async def send_to(url: str) -> None:
    """One message, as the worker sends it, with less patience."""
    async with session_to(url, ClientTimeout(total=0.2), trust_env=False) as http:
        await HttpSmsGateway(http).send(PHONE, TEXT)


async def test_a_message_that_was_taken_is_sent_once() -> None:
    """Below the gateway's address, as JSON."""
    async with answering(answer(202)) as party:
        await send_to(f"{party.url}sms")
    assert party.lines == ["POST /sms/messages"]
    assert json.loads(party.asked[0].body) == {"to": PHONE, "text": TEXT}


@pytest.mark.parametrize("falls_silent", [False, True])
async def test_a_message_is_taken_whatever_becomes_of_the_words_that_follow(falls_silent: bool) -> None:
    """Tried again, it would be another code, and the one that came first a wrong try."""
    said = b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\n{"
    async with answering(said, falls_silent=falls_silent) as party:
        await send_to(party.url)
    assert len(party.asked) == 1


@pytest.mark.parametrize("status", [200, 302, 307, 400, 503])
async def test_any_other_answer_is_not_sent_and_a_redirect_is_not_followed(status: int) -> None:
    """A phone and a code go to the gateway's address alone."""
    async with answering(answer(202)) as elsewhere, answering() as party:
        party.says = answer(status, TEXT, f"Location: {elsewhere.url}messages")
        with pytest.raises(SmsNotSent, match=rf"^the SMS gateway answered {status}$"):
            await send_to(party.url)
    assert (len(party.asked), elsewhere.asked) == (1, [])


@pytest.mark.parametrize(
    ("said", "falls_silent", "failure"),
    [
        (b"", False, "ServerDisconnectedError"),
        (b"", True, "TimeoutError"),
        (f"{PHONE}: {TEXT}\r\n\r\n".encode(), False, "ClientResponseError"),
    ],
)
async def test_a_failure_is_told_by_its_class_alone(said: bytes, falls_silent: bool, failure: str) -> None:
    """Its words could be the request's, and that holds the code."""
    async with answering(said, falls_silent=falls_silent) as party:
        with pytest.raises(SmsNotSent, match=rf"^no answer from the SMS gateway \({failure}\)$") as failed:
            await send_to(party.url)
    assert failed.value.__suppress_context__
