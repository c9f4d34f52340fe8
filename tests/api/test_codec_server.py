"""The codec server as Temporal's UI and command line speak to it: who may, from which pages, and what comes back."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload

from api.authentication import Authenticator
from api.codec_server import BODY_LIMIT, LONGEST, CodecParts, build_app
from api.metrics import Metrics
from payloads.encryption import KEY_ID, EncryptedPayloads
from payloads.keys import PayloadKeys, rotate
from tests.api.clock import ManualClock
from tests.api.issuer import AUDIENCE, ISSUER, TestIssuer

UI = "http://127.0.0.1:8233"

Json = dict[str, Any]


@pytest.fixture
def codec(tmp_path: Path) -> EncryptedPayloads:
    """Keys of this test's own."""
    rotate(tmp_path / "keys.json")
    return EncryptedPayloads(PayloadKeys(tmp_path / "keys.json"), "default")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def server(
    codec: EncryptedPayloads, issuer: TestIssuer, clock: ManualClock, metrics: Metrics
) -> AsyncIterator[httpx.AsyncClient]:
    """As in production: everybody needs a token."""
    counted = replace(codec, count=metrics.count_payload)
    parts = CodecParts(counted, Authenticator(issuer, ISSUER, AUDIENCE, clock))
    async with served(parts, metrics) as client:
        yield client


@pytest.fixture
async def sandbox(codec: EncryptedPayloads, issuer: TestIssuer, clock: ManualClock) -> AsyncIterator[httpx.AsyncClient]:
    """As in the local stack: the UI's pages need none."""
    parts = CodecParts(codec, Authenticator(issuer, ISSUER, AUDIENCE, clock), UI)
    async with served(parts, Metrics()) as client:
        yield client


def served(
    parts: CodecParts, metrics: Metrics, client: str = "127.0.0.1", host: str = "127.0.0.1"
) -> httpx.AsyncClient:
    app = build_app([UI], metrics, parts)
    transport = httpx.ASGITransport(app, client=(client, 1))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}:8003")


def as_caller(issuer: TestIssuer, scope: str = "operations") -> dict[str, str]:
    """What `--codec-auth` sends, and the namespace."""
    return {"Authorization": f"Bearer {issuer.token(scope=scope, account_id=None)}", "X-Namespace": "default"}


def in_json(encoding: str, data: bytes, **metadata: str) -> Json:
    """A payload in protobuf's JSON: bytes are base64."""
    wrapped = {name: base64.b64encode(value.encode()).decode() for name, value in metadata.items()}
    return {
        "metadata": {"encoding": base64.b64encode(encoding.encode()).decode(), **wrapped},
        "data": base64.b64encode(data).decode(),
    }


PLAIN = in_json("json/plain", b'{"approver": "wang.fang", "decision": "approve"}')


async def test_what_is_encoded_is_decoded_again(server: httpx.AsyncClient, issuer: TestIssuer) -> None:
    """The command line's way round, for both scopes; in between nothing is readable."""
    for scope in ("operations", "finance"):
        caller = as_caller(issuer, scope)
        encoded = (await server.post("/encode", json={"payloads": [PLAIN, PLAIN]}, headers=caller)).json()
        assert base64.b64decode(encoded["payloads"][0]["metadata"]["encoding"]) == b"binary/encrypted"
        assert b"wang.fang" not in base64.b64decode(encoded["payloads"][0]["data"])
        decoded = await server.post("/decode", json=encoded, headers=caller)
        assert decoded.json() == {"payloads": [PLAIN, PLAIN]}


async def test_nothing_to_encode_is_usual(server: httpx.AsyncClient, issuer: TestIssuer) -> None:
    """The command line asks to encode a query without arguments."""
    answer = await server.post("/encode", json={"payloads": []}, headers=as_caller(issuer))
    assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize("path", ["/encode", "/decode"])
async def test_nobody_comes_in_without_a_token_of_ours(
    server: httpx.AsyncClient, issuer: TestIssuer, path: str
) -> None:
    """None, a bad one, an expired one, a customer's or billing's; the UI's page is no exception in production."""
    good = as_caller(issuer)
    for refused, status in (
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": good["Authorization"].replace("Bearer", "Basic")}, 401),
        ({"Authorization": f"Bearer {issuer.token(scope='operations', exp=1)}"}, 401),
        ({"Authorization": f"Bearer {issuer.token(scope='withdrawals')}"}, 403),
        ({"Authorization": f"Bearer {issuer.token(scope='billing')}"}, 403),
        ({"Origin": UI}, 401),
    ):
        answer = await server.post(path, json={"payloads": [PLAIN]}, headers={"X-Namespace": "default", **refused})
        assert answer.status_code == status, refused
        assert answer.headers["content-type"] == "application/problem+json"
        assert "wang.fang" not in answer.text


async def test_another_namespace_is_not_there(server: httpx.AsyncClient, issuer: TestIssuer) -> None:
    """Nor none at all."""
    caller = as_caller(issuer)
    assert (await server.post("/decode", json={}, headers=caller | {"X-Namespace": "other"})).status_code == 404
    del caller["X-Namespace"]
    assert (await server.post("/decode", json={}, headers=caller)).status_code == 404


async def test_the_ui_of_the_sandbox_needs_no_token_and_no_other_page_can_claim_to_be_it(
    sandbox: httpx.AsyncClient, codec: EncryptedPayloads
) -> None:
    """The dev server's UI has nobody logged in. A token that is sent all the same has to be good."""
    sealed = await in_history(codec)
    ask = {"payloads": [sealed]}
    ours = {"X-Namespace": "default", "Origin": UI}
    answer = await sandbox.post("/decode", json=ask, headers=ours)
    assert base64.b64decode(answer.json()["payloads"][0]["data"]) == b'"paid"'
    assert answer.headers["access-control-allow-origin"] == UI
    for origin in ("http://evil.example", "http://127.0.0.1:9999", "null", f"{UI}.evil.example"):
        refused = await sandbox.post("/decode", json=ask, headers=ours | {"Origin": origin})
        assert refused.status_code == 401
        assert "access-control-allow-origin" not in refused.headers
    assert (await sandbox.post("/decode", json=ask, headers={"X-Namespace": "default"})).status_code == 401
    bad = await sandbox.post("/decode", json=ask, headers=ours | {"Authorization": "Bearer nonsense"})
    assert bad.status_code == 401


@pytest.mark.parametrize(("client", "host"), [("10.0.0.7", "127.0.0.1"), ("127.0.0.1", "10.0.0.1")])
async def test_the_sandboxs_exception_ends_at_this_machine(
    codec: EncryptedPayloads, issuer: TestIssuer, clock: ManualClock, client: str, host: str
) -> None:
    """Bound elsewhere by mistake, or asked from elsewhere, it wants a token like any other."""
    parts = CodecParts(codec, Authenticator(issuer, ISSUER, AUDIENCE, clock), UI)
    async with served(parts, Metrics(), client, host) as server:
        answer = await server.post("/decode", json={}, headers={"X-Namespace": "default", "Origin": UI})
    assert answer.status_code == 401


async def test_a_browser_may_ask_first(server: httpx.AsyncClient) -> None:
    """The preflight of the UI's own page is answered without a token, with what it sends; another page's is not."""
    ask = {
        "Origin": UI,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-namespace",
    }
    allowed = await server.options("/decode", headers=ask)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == UI
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert {"authorization", "content-type", "x-namespace"} <= {
        name.strip().lower() for name in allowed.headers["access-control-allow-headers"].split(",")
    }
    stranger = await server.options("/decode", headers=ask | {"Origin": "http://evil.example"})
    assert stranger.status_code == 400
    assert "access-control-allow-origin" not in stranger.headers


async def test_what_does_not_open_says_so_in_its_place(
    server: httpx.AsyncClient, issuer: TestIssuer, codec: EncryptedPayloads, metrics: Metrics
) -> None:
    """A changed one, one under a lost key, and one of Temporal's own in clear: the others open all the same."""
    good = await in_history(codec)
    changed = good | {"data": base64.b64encode(base64.b64decode(good["data"])[:-1] + b"x").decode()}
    lost = good | {"metadata": good["metadata"] | {KEY_ID: base64.b64encode(b"k9.00").decode()}}
    clear = in_json("json/plain", b'"of the server\'s own"')
    ask = {"payloads": [changed, lost, good, clear]}
    answer = (await server.post("/decode", json=ask, headers=as_caller(issuer))).json()
    texts = [base64.b64decode(one["data"]).decode() for one in answer["payloads"]]
    assert "refused: it was changed" in texts[0]
    assert "cannot be read: no payload key 'k9.00'" in texts[1]
    assert texts[2:] == ['"paid"', '"of the server\'s own"']
    exposed = (await server.get("/metrics")).text
    assert 'payloads_not_opened_total{reason="key_missing"} 1.0' in exposed
    assert 'payloads_not_opened_total{reason="refused"} 1.0' in exposed


DEEP = b'{"payloads": ' + b"[" * 5000 + b"]" * 5000 + b"}"


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b'{"payloads": 1}', b'{"payloads": [{"data": 1}]}', b'{"other": []}', b"\xff\xfe", DEEP],
)
async def test_what_is_no_payload_is_refused(server: httpx.AsyncClient, issuer: TestIssuer, body: bytes) -> None:
    """With a problem document and nothing of the body in it."""
    headers = as_caller(issuer) | {"Content-Type": "application/json"}
    for path in ("/encode", "/decode"):
        answer = await server.post(path, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_request_has_its_limits(server: httpx.AsyncClient, issuer: TestIssuer) -> None:
    """In bytes, and in payloads."""
    caller = as_caller(issuer)
    large = await server.post("/decode", content=b"x" * (BODY_LIMIT + 1), headers=caller)
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    many = await server.post("/encode", json={"payloads": [{}] * (LONGEST + 1)}, headers=caller)
    assert many.status_code == 422


async def test_other_methods_and_paths_are_not_there(server: httpx.AsyncClient) -> None:
    """And neither is a description of the interface."""
    assert (await server.get("/decode")).status_code == 405
    for path in ("/", "/docs", "/openapi.json", "/download"):
        assert (await server.get(path)).status_code == 404
    assert (await server.get("/healthz")).status_code == 200


async def in_history(codec: EncryptedPayloads) -> Json:
    """A payload as a run has recorded it, as the UI sends it."""
    payload = Payload(metadata={"encoding": b"json/plain"}, data=b'"paid"')
    bound = EncryptedPayloads(codec.keys, codec.namespace, workflow_id="withdrawal-1")
    found: Json = MessageToDict((await bound.encode([payload]))[0])
    return found
