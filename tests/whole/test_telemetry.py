"""What the processes tell: every metric that a dashboard or an alert names, and a log without anybody's data."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.whole.customers import NAME, Customer
from tests.whole.waiting import until
from tests.whole.world import World

DEPLOY = Path(__file__).parents[2] / "deploy"
_METRIC = re.compile(r"\b(?:withdrawals|payload|temporal|http)_[a-z0-9_]+")


def named() -> set[str]:
    """Every metric that a dashboard or an alert rule names."""
    files = [*(DEPLOY / "grafana" / "dashboards").glob("*.json"), *(DEPLOY / "prometheus").glob("*alerts.yml")]
    return {name for file in files for name in _METRIC.findall(file.read_text())}


def exposed(world: World) -> str:
    """What the API and the worker serve now."""
    api = world.api.get("/metrics").text
    return api + httpx.get(world.stack.worker_metrics_url, trust_env=False).text


@pytest.fixture
def wedged_run(world: World) -> Iterator[str]:
    """A run whose workflow tasks fail: no worker knows its type."""
    run = "of-a-type-nobody-knows"
    world.temporal("workflow", "start", "--type", "Nobody", "--task-queue", "withdrawals", "--workflow-id", run)
    yield run
    world.temporal("workflow", "terminate", "--workflow-id", run)


def test_every_metric_of_the_dashboard_and_the_alerts_is_exposed(world: World, wedged_run: str) -> None:
    """A panel or a rule on a name that nobody serves would stay silent for ever."""
    wanted = named()
    assert len(wanted) > 20
    paid, refused = world.customer(), world.customer(behaviour="accept_then_fail")
    for customer, status in ((paid, "paid"), (refused, "failed")):
        customer.becomes(customer.verified(), status)

    waiting = world.customer()
    withdrawal_id = waiting.applied()
    deadline = time.monotonic() + 60
    while (missing := {name for name in wanted if not _serves(exposed(world), name)}) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert missing == set()
    assert waiting.cancel(withdrawal_id).status_code == 200
    served = exposed(world)
    assert re.search(r'^withdrawals_bank_answers_total{[^}]*kind="succeeded"', served, re.MULTILINE)
    assert re.search(r'^withdrawals_sms_total{[^}]*result="done"', served, re.MULTILINE)
    looked = re.compile(r'^withdrawals_sweep_found_total{[^}]*step="look_after_runs"', re.MULTILINE)
    until(lambda: looked.search(exposed(world)), "a sweep has looked after the runs")
    assert re.search(r"^payload_key_missing_total{[^}]*} 0$", served, re.MULTILINE)
    for secret in secrets_of(paid):
        assert secret not in served


def test_the_logs_are_json_with_the_withdrawal_and_nobodys_data(world: World) -> None:
    """API and worker, a bank in doubt and a refusal included."""
    logs = [world.stack.state.log(name) for name in ("api", "worker")]
    before = [log.stat().st_size for log in logs]
    customer = world.customer(behaviour="unavailable:2")
    withdrawal_id = customer.applied()
    code = customer.code()
    customer.enter(withdrawal_id, "000000" if code != "000000" else "111111")
    customer.enter(withdrawal_id, code)
    customer.becomes(withdrawal_id, "paid")
    for log, size in zip(logs, before, strict=True):
        written = log.read_bytes()[size:].decode()
        lines = [json.loads(line) for line in written.splitlines()]
        assert any(line.get("withdrawal_id") == withdrawal_id for line in lines), log.name
        assert all({"event", "level", "timestamp"} <= line.keys() for line in lines), log.name
        for secret in (*secrets_of(customer), code):
            assert secret not in written, log.name


def _serves(exposition: str, name: str) -> bool:
    return re.search(rf"^{name}(?:{{| )", exposition, re.MULTILINE) is not None


def secrets_of(customer: Customer) -> tuple[str, ...]:
    """What belongs to the customer alone."""
    return (NAME, customer.phone, customer.card_number)
