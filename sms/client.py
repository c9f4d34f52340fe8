"""Sending the phone code."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

import aiohttp

from domain.money import format_yuan
from domain.verification import CODE_LIFE


class SmsNotSent(Exception):
    """The gateway did not take the message, or did not say so."""


class SmsGateway(Protocol):
    """What we ask of a gateway."""

    async def send(self, to: str, text: str) -> None:
        """Hands one message to the gateway for a mainland mobile number; ``SmsNotSent`` if it was not taken."""
        ...


@dataclass(frozen=True)
class HttpSmsGateway:
    """The Protocol over HTTP; ``http`` carries the base URL, which ends in a slash, time-outs and credentials."""

    http: aiohttp.ClientSession = field(repr=False)

    async def send(self, to: str, text: str) -> None:
        try:
            async with self.http.post("messages", json={"to": to, "text": text}, allow_redirects=False) as response:
                status = response.status  # It is taken, whatever becomes of the words that follow.
        except (aiohttp.ClientError, OSError) as cut:  # A TimeoutError is an OSError.
            # The class alone: a message may quote the request, and that holds the code.
            raise SmsNotSent(f"no answer from the SMS gateway ({type(cut).__name__})") from None
        if status != HTTPStatus.ACCEPTED:
            raise SmsNotSent(f"the SMS gateway answered {status}")


def return_message(amount_fen: int, card_last4: str) -> str:
    """The message after a return (退票): the money is in the account again, and may be withdrawn anew."""
    return (
        f"【云平台】您的提现{format_yuan(amount_fen)}元被尾号{card_last4}的银行卡的开户行退回，"
        f"款项已退还至您的账户余额，您可以重新申请提现。"
    )


def code_message(code: str, amount_fen: int, card_last4: str) -> str:
    """The message: what the code is good for, how long, and never to pass it on."""
    minutes = int(CODE_LIFE.total_seconds() // 60)
    return (
        f"【云平台】验证码{code}，用于提现{format_yuan(amount_fen)}元至尾号{card_last4}的银行卡，"
        f"{minutes}分钟内有效。工作人员不会索要验证码，请勿告知他人。"
    )
