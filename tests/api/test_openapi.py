"""The OpenAPI document says what the app does."""

from __future__ import annotations

import sys
from pathlib import Path

import jsonschema
import pytest

from api.app import build_app
from api.openapi import document, main
from tests.api.console import Console, Json
from tests.api.test_bad_input_caller import EVERY_CALL, ID

DOCUMENT: Json = build_app().openapi()


def operation(method: str, path: str) -> Json:
    """The described call."""
    template = path.replace(ID, "{withdrawal_id}").replace("acct_1001", "{account_id}")
    described: Json = DOCUMENT["paths"][template][method.lower()]
    return described


def test_every_call_of_the_contract_is_described() -> None:
    """With the bearer scheme, and every refusal as a problem document."""
    for method, path in EVERY_CALL:
        described = operation(method, path)
        assert described["security"] == [{"HTTPBearer": []}]
        for status, response in described["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)
        assert {"401", "403", "413", "503"} <= set(described["responses"])
    names = [call["operationId"] for path in DOCUMENT["paths"].values() for call in path.values()]
    assert len(set(names)) == len(names)


def test_the_idempotency_key_is_required() -> None:
    """And described as 1 to 128 visible ASCII characters."""
    (key,) = operation("POST", "/v1/withdrawals")["parameters"]
    assert (key["name"], key["in"], key["required"]) == ("Idempotency-Key", "header", True)


async def test_answers_are_as_described(console: Console) -> None:
    """A withdrawal, its events, the record, an account, and a problem."""
    withdrawal = await console.verified()
    path = f"/v1/withdrawals/{ID}"
    for method, described, asked in (
        ("GET", path, f"/v1/withdrawals/{withdrawal['id']}"),
        ("GET", f"{path}/events", f"/v1/withdrawals/{withdrawal['id']}/events"),
        ("GET", "/v1/withdrawals", "/v1/withdrawals"),
        ("GET", "/v1/accounts/acct_1001", "/v1/accounts/acct_1001"),
        ("GET", path, path),
        ("POST", "/v1/withdrawals", "/v1/withdrawals"),
    ):
        answer = await console.as_customer(method, asked)
        response = operation(method, described)["responses"][str(answer.status_code)]
        schema = response["content"][answer.headers["content-type"].split(";")[0]]["schema"]
        jsonschema.validate(answer.json(), schema | {"components": DOCUMENT["components"]})


async def test_the_running_app_serves_the_same_document(console: Console) -> None:
    """What is read from it is what is kept as a file."""
    assert (await console.http.get("/openapi.json")).json() == DOCUMENT


def test_the_file_is_written_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that says something else fails the check."""
    file = tmp_path / "openapi.json"

    def run(action: str) -> int:
        monkeypatch.setattr(sys, "argv", ["openapi", action, str(file)])
        return main()

    assert run("--check") == 1
    assert run("--write") == 0
    assert run("--check") == 0
    assert file.read_text() == document()
    file.write_text(document().replace("Balance", "Balanced"))
    assert run("--check") == 1
