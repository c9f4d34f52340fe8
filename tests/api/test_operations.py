"""What operators and machines ask: health, readiness, metrics, and the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from ledger.invariants import LedgerMark, Look, Violation
from ledger.sweeps import Sweeps
from tests.api.console import Console
from tests.api.played_engine import PlayedEngine


async def metric(http: httpx.AsyncClient, name: str, **labels: str) -> float | None:
    """One sample of the exposition."""
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


async def test_health_depends_on_nothing(console: Console, engine: PlayedEngine) -> None:
    """A process whose database is away is not to be restarted."""
    engine.away = True
    answer = await console.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_readiness_names_what_is_away(console: Console, engine: PlayedEngine) -> None:
    """Database, engine and workers, each by itself."""
    ready = await console.http.get("/readyz")
    checks = {"database": "ok", "engine": "ok", "workers": "ok"}
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "checks": checks})
    engine.has_workers = False
    idle = await console.http.get("/readyz")
    assert (idle.status_code, idle.json()["checks"]) == (503, checks | {"workers": "away"})
    engine.away = True
    away = await console.http.get("/readyz")
    assert (away.status_code, away.json()["status"]) == (503, "unavailable")
    assert away.json()["checks"] == {"database": "ok", "engine": "away", "workers": "away"}


async def test_what_the_sweep_found_is_a_metric(console: Console) -> None:
    """How many invariants were broken at the last look and when that was; nothing is claimed before the first."""
    assert await metric(console.http, "withdrawals_invariants_broken") is None
    assert await metric(console.http, "withdrawals_differences_open") == 0
    looked_at = datetime(2026, 3, 10, 2, 0, tzinfo=UTC)
    for broken in ([Violation("all postings sum to zero", ({"sum": 1},))], []):
        look = Look(broken, LedgerMark(1, looked_at), whole=True)
        Sweeps(console.database).note_invariants(look, now=looked_at)
        assert await metric(console.http, "withdrawals_invariants_broken") == len(broken)
    seen = await metric(console.http, "withdrawals_invariants_looked_at_timestamp_seconds")
    assert seen == looked_at.timestamp()


async def test_requests_are_counted_by_template(console: Console) -> None:
    """Never by path, so that no id becomes a label; what matches nothing is counted together."""
    withdrawal = await console.applied()
    await console.read(withdrawal)
    await console.http.get("/etc/passwd")
    await console.http.request("BREW", "/coffee")
    labels = {"method": "GET", "route": "/v1/withdrawals/{withdrawal_id}", "status": "200"}
    assert await metric(console.http, "http_requests_total", **labels) == 1
    assert await metric(console.http, "http_requests_total", method="GET", route="none", status="404") == 1
    assert await metric(console.http, "http_requests_total", method="OTHER", route="none", status="404") == 1
    text = (await console.http.get("/metrics")).text
    assert "http_request_duration_seconds_bucket" in text
    assert withdrawal["id"] not in text
    assert "passwd" not in text


async def test_open_withdrawals_and_frozen_money_are_read_from_the_rows(console: Console) -> None:
    """By status, as they are at the scrape."""
    await console.applied()
    await console.verified(of="acct_2002", amount="60000.00")
    assert await metric(console.http, "withdrawals_open", status="awaiting_verification") == 1
    assert await metric(console.http, "withdrawals_open", status="awaiting_approval") == 1
    assert await metric(console.http, "withdrawals_open", status="processing") == 0
    assert await metric(console.http, "withdrawals_frozen_fen") == 60_000_00
    assert await metric(console.http, "withdrawals_approvals_missing") == 1
    assert await metric(console.http, "withdrawals_open_older", status="awaiting_approval", than="1d") == 0
    console.engine.clock.move_on(timedelta(days=2))
    assert await metric(console.http, "withdrawals_open_older", status="awaiting_approval", than="1d") == 1
    assert await metric(console.http, "withdrawals_open_older", status="awaiting_approval", than="7d") == 0
    since = await metric(console.http, "withdrawals_waiting_since_timestamp_seconds", status="awaiting_approval")
    assert since == pytest.approx((console.engine.clock() - timedelta(days=2)).timestamp(), abs=60)
    assert await metric(console.http, "withdrawals_database_up") == 1


async def test_the_log_has_a_line_a_request_and_no_personal_data(console: Console) -> None:
    """Template, status, request id and withdrawal; no path, no account, no name, no number."""
    with structlog.testing.capture_logs() as lines:
        answer = await console.apply()
        await console.read(answer.json())
    assert [(line["event"], line["route"], line["status"]) for line in lines] == [
        ("request", "/v1/withdrawals", 201),
        ("request", "/v1/withdrawals/{withdrawal_id}", 200),
    ]
    assert lines[0]["request_id"] == answer.headers["x-request-id"]
    assert [line["withdrawal_id"] for line in lines] == [answer.json()["id"]] * 2
    for secret in ("acct_1001", "张三", "6230580000000000013", "customer-1"):
        assert secret not in str(lines)


async def test_a_callers_request_id_is_not_taken_over(console: Console) -> None:
    """Ours is made by us: nobody writes into our log through a header."""
    answer = await console.http.get("/healthz", headers={"X-Request-Id": "evil\\nline"})
    assert str(UUID(answer.headers["x-request-id"])).replace("-", "") == answer.headers["x-request-id"]
