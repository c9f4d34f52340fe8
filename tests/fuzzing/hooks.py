"""What schemathesis cannot guess: an account that exists, the code of the SMS, the bank's signature.

Without it most calls would end at 404, and the stories behind them would never be told.
"""

from __future__ import annotations

import json
import os
import random
from datetime import UTC, datetime
from typing import Any

import httpx
import schemathesis
from schemathesis import Case, GenerationMode, HookContext, Response
from schemathesis.checks import CheckContext
from standardwebhooks import Webhook

ACCOUNT = "acct_fuzzed"
PHONE = "13900000000"
NAME = "云上科技（上海）有限公司"

_chance = random.Random(os.environ.get("FUZZING_SEED", "1"))
_applied: list[str] = []


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Puts what exists in the place of what was made up, in most of the calls that are well-formed."""
    # What is wrong on purpose stays wrong.
    if _chance.random() < 0.25 or case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    call, body = (case.method.upper(), case.path), case.body
    if "account_id" in case.path_parameters and case.path.startswith("/v1/accounts/{account_id}"):
        case.path_parameters["account_id"] = ACCOUNT
    if not isinstance(body, dict):
        return
    if call == ("POST", "/v1/withdrawals") and isinstance(card := body.get("bank_card"), dict):
        card["account_name"] = NAME
        body["account_id"] = ACCOUNT
        body["amount"] = _chance.choice(["0.01", "500.00", "60000.00"])
    if call == ("POST", "/v1/withdrawals/{withdrawal_id}/verification"):
        case.path_parameters["withdrawal_id"] = (_applied or ["none"])[-1]
        body["code"] = _newest_code() or "000000"
    if call == ("PUT", "/v1/accounts/{account_id}"):
        body |= {"subject_type": "company", "subject_name": NAME, "phone": PHONE, "verified": True, "suspended": False}
    if call == ("POST", "/v1/bank-notifications"):
        _sign(case)


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Remembers what was applied for."""
    if (case.method.upper(), case.path, response.status_code) == ("POST", "/v1/withdrawals", 201):
        _applied.append(response.json()["id"])


@schemathesis.check
def refusals_are_problem_documents(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """A refusal is a problem document with a code, under the id of the request, and quotes nothing it was sent."""
    if response.status_code < 400:
        return
    if response.headers.get("content-type") == ["text/plain; charset=utf-8"]:
        # The server itself, of what is no HTTP.
        assert response.status_code == 400
        return
    problem = response.json()
    assert problem["code"]
    assert response.headers["x-request-id"] == [problem["request_id"]]
    assert response.headers["cache-control"] == ["no-store"]
    assert "Traceback" not in response.text


def _newest_code() -> str | None:
    inbox = httpx.get(f"{os.environ['FUZZING_SANDBOX']}/_sandbox/messages", params={"phone": PHONE}, trust_env=False)
    messages = inbox.json()
    return str(messages[0]["code"]) if messages else None


def _sign(case: Case[Any]) -> None:
    """As the bank does, over exactly the bytes that are sent."""
    sent = case.as_transport_kwargs()
    body = sent["data"] if "data" in sent else json.dumps(sent.get("json")).encode()
    event_id, sent_at = f"msg_{_chance.randrange(50)}", datetime.now(UTC)
    case.headers["webhook-id"] = event_id
    case.headers["webhook-timestamp"] = str(int(sent_at.timestamp()))
    case.headers["webhook-signature"] = Webhook(os.environ["FUZZING_SECRET"]).sign(
        event_id, sent_at, body.decode(errors="replace")
    )
