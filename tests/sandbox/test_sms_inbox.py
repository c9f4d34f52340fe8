"""The SMS provider: what is sent lies in the inbox, with the phone code read out of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox.sms import read_code
from tests.sandbox.bank_client import change_settings

PHONE = "13812341234"


async def test_a_message_lies_in_the_inbox_of_its_phone(sandbox: httpx.AsyncClient) -> None:
    """Each phone sees its own messages, the newest first, with the code in each."""
    texts = [
        "您的验证码是 111111，10 分钟内有效。",
        "您的验证码是 222222，10 分钟内有效。",
        "您的提现已到账。",
    ]
    ids = set()
    for text in texts:
        sent = await sandbox.post("/messages", json={"to": PHONE, "text": text})
        assert sent.status_code == 202
        ids.add(sent.json()["message_id"])
    assert len(ids) == 3
    await sandbox.post("/messages", json={"to": "13900000000", "text": "验证码 333333"})

    inbox = (await sandbox.get("/_sandbox/messages", params={"phone": PHONE})).json()
    assert [(message["text"], message["code"]) for message in inbox] == [
        (texts[2], None),
        (texts[1], "222222"),
        (texts[0], "111111"),
    ]
    assert {message["to"] for message in inbox} == {PHONE}
    assert inbox[0]["sent_at"] >= inbox[2]["sent_at"]
    assert (await sandbox.get("/_sandbox/messages", params={"phone": "13700000000"})).json() == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("【云】验证码：482913，提现 123456.78 元至尾号 0018 的银行卡。", "482913"),
        ("【云】您正在提现 500000 元至尾号 654321 的银行卡，验证码482913，请勿告知他人。", "482913"),
        ("验证码为 004213", "004213"),
        ("您的验证码(482913)10分钟内有效", "482913"),
        ("请勿泄露验证码。提现 500000 元已受理。", None),
        ("验证码，提现 500000 元", None),
        ("验证码 123456.78", None),
        ("验证码 1234567", None),
        ("验证码 12345", None),
        ("482913", None),
    ],
)
def test_the_code_is_the_number_behind_its_word(text: str, code: str | None) -> None:
    """Amounts and card digits in the same message are not taken for the code."""
    assert read_code(text) == code


@pytest.mark.parametrize(
    "message",
    [
        {"to": "12812341234", "text": "x"},
        {"to": PHONE, "text": ""},
        {"to": PHONE},
        {"to": PHONE, "text": "x", "from": "y"},
    ],
)
async def test_a_bad_message_is_refused(sandbox: httpx.AsyncClient, message: dict[str, Any]) -> None:
    """No mainland mobile, no text, or a field too many: 422, and nothing arrives."""
    assert (await sandbox.post("/messages", json=message)).status_code == 422
    assert (await sandbox.get("/_sandbox/messages", params={"phone": PHONE})).json() == []


async def test_the_provider_can_be_away(sandbox: httpx.AsyncClient) -> None:
    """sms_unavailable: 503 and nothing sent, while the bank goes on answering."""
    await change_settings(sandbox, sms_unavailable=True)
    assert (await sandbox.post("/messages", json={"to": PHONE, "text": "验证码 111111"})).status_code == 503
    assert (await sandbox.get("/_sandbox/messages", params={"phone": PHONE})).json() == []
    assert (await sandbox.get("/transfers")).status_code == 200
