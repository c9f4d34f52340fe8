"""The HTTP API as the console's seam: it answers what a test says, in the shapes of the contract."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from tests.console.servers import another_console, served

Json = dict[str, Any]

ACCOUNT: Json = {
    "account_id": "demo_zhang",
    "currency": "CNY",
    "cash_balance": "1280.00",
    "voucher_balance": "0.00",
    "frozen": "0.00",
    "reserved": "0.00",
    "withdrawable": "1280.00",
    "blockers": [],
    "next_eligible_on": None,
}


def a_withdrawal(status: str, **others: Any) -> Json:
    """A withdrawal as the API shows it, three weeks old."""
    applied = (datetime.now(UTC) - timedelta(days=22)).isoformat()
    return {
        "id": str(uuid.uuid4()),
        "account_id": "demo_yunshang",
        "amount": "86000.00",
        "currency": "CNY",
        "status": status,
        "bank_card": {
            "account_name": "云上科技（上海）有限公司",
            "bank_name": "招商银行",
            "branch_name": "上海分行张江支行",
            "card_number": "**** 0022",
        },
        "phone": "135****0102",
        "code_expires_at": None,
        "approvals": {"needed": 1, "given": [{"approver": "li.wei", "at": applied}]},
        "arrival_window": {"earliest": "2026-11-16", "latest": "2026-11-23", "provisional": False},
        "failure": None,
        "created_at": applied,
        "updated_at": datetime.now(UTC).isoformat(),
    } | others


def an_event(kind: str, status: str, by: str = "system", **data: Any) -> Json:
    """One event as the API shows it."""
    return {
        "kind": kind,
        "status": status,
        "at": (datetime.now(UTC) - timedelta(days=22)).isoformat(),
        "by": by,
        "via": {"system": "workflow", "bank": "bank"}.get(by, "api"),
        "data": data,
    }


@dataclass
class PlayedApi:
    """Answers by method and path; what was asked is kept. The token issuer and the inbox of the sandbox as well."""

    answers: dict[tuple[str, str], tuple[int, Any, dict[str, str]]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def on(self, method: str, path: str, status: int, body: Any, **headers: str) -> None:
        """From now on, this is the answer."""
        self.answers[method, path] = (status, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def refuse(
        self, method: str, path: str, status: int, code: str, retry_after: int | None = None, **facts: Any
    ) -> None:
        """From now on, the call is refused with this code."""
        headers = {} if retry_after is None else {"Retry_After": str(retry_after)}
        problem = {"type": f"/problems/{code}", "title": code, "status": status, "code": code, **facts}
        self.on(method, path, status, problem, **headers)

    def app(self) -> FastAPI:
        """What serves it."""
        app = FastAPI()

        @app.api_route("/{path:path}", methods=["GET", "POST", "PUT"])
        async def answer(path: str, request: Request) -> Response:
            sent = await request.body()
            self.asked.append((request.method, f"/{path}", json.loads(sent) if sent else None))
            if path == "_sandbox/token":
                return JSONResponse({"access_token": "played", "expires_in": 3600})
            if path == "_sandbox/messages":
                return JSONResponse([])
            if path.startswith("_sandbox/cards/"):
                return JSONResponse({"behaviour": "pay"})
            status, body, headers = self.answers.get((request.method, f"/{path}"), (404, {"code": "not_found"}, {}))
            return JSONResponse(body, status, headers)

        return app


@contextlib.asynccontextmanager
async def played_console(folder: Path, **settings: Any) -> AsyncIterator[tuple[PlayedApi, str]]:
    """The API and the address of a console in front of it, with one customer registered."""
    api = PlayedApi()
    api.on("PUT", "/v1/accounts/demo_zhang", 200, ACCOUNT)
    for kind in ("top-ups", "vouchers"):
        api.on("POST", f"/v1/accounts/demo_zhang/{kind}", 201, {})
    api.on("GET", "/v1/accounts/demo_zhang", 200, ACCOUNT)
    api.on("GET", "/v1/withdrawals", 200, {"items": [], "next_cursor": None})
    async with (
        served(api.app()) as api_url,
        another_console(folder, api_url=api_url, sandbox_url=api_url, **settings) as address,
    ):
        yield api, address
