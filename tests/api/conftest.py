"""The real app over a real PostgreSQL; only Temporal is played, and the tokens are the tests' own."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import structlog
from fastapi import FastAPI

from api.app import build_app
from api.authentication import Authenticator
from api.bank_signature import BankSignature
from api.parts import Parts
from api.rate_limits import CallLimits, Rate
from domain.approval import ApprovalPolicy
from domain.eligibility import EligibilityRules
from ledger.accounts import Accounts
from ledger.applications import Applications
from ledger.database import Database
from ledger.encryption import KeyRing
from ledger.moves import Moves
from ledger.notifications import SeenNotifications
from ledger.outbox import Outbox
from ledger.reads import Reads
from ledger.statements import Statements
from ledger.transfers import Transfers
from ledger.verifications import Verifications
from telemetry.logs import log_json_lines
from tests import databases
from tests.api.clock import ManualClock
from tests.api.console import Console
from tests.api.issuer import AUDIENCE, ISSUER, TestIssuer
from tests.api.played_engine import PlayedEngine
from tests.hypothesis_profiles import load_profile

load_profile()

WEBHOOK_SECRETS = [f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (7, 8)]

GENEROUS = Rate(per_second=1e6, burst=10**6)


@pytest.fixture(autouse=True, scope="package")
def log() -> Iterator[None]:
    """As a process has it; the library's own default draws every failure's variables, for seconds."""
    log_json_lines()
    yield
    structlog.reset_defaults()


@pytest.fixture
def clock() -> ManualClock:
    """Time as the app sees it."""
    return ManualClock()


@pytest.fixture
def issuer(clock: ManualClock) -> TestIssuer:
    """Whom the app believes."""
    return TestIssuer(clock)


@pytest.fixture
def ledger_database(database: databases.Database) -> Iterator[Database]:
    """The test's own database, as the application's role."""
    connected = Database.connect(database.app_url)
    yield connected
    connected.close()


@pytest.fixture
def keys() -> KeyRing:
    """Keys for this test."""
    return KeyRing({"k1": b"f" * 32}, "k1", b"c" * 32)


@pytest.fixture
def engine(ledger_database: Database, keys: KeyRing, clock: ManualClock) -> PlayedEngine:
    """The workflow, played."""
    return PlayedEngine(
        moves=Moves(ledger_database, keys, EligibilityRules()),
        verifications=Verifications(ledger_database, keys),
        transfers=Transfers(ledger_database, keys),
        clock=clock,
    )


@pytest.fixture
def parts(
    ledger_database: Database, keys: KeyRing, engine: PlayedEngine, issuer: TestIssuer, clock: ManualClock
) -> Parts:
    """As the app factory puts them together, with the default rules and limits."""
    rules = EligibilityRules()
    return Parts(
        database=ledger_database,
        accounts=Accounts(ledger_database, keys),
        applications=Applications(ledger_database, keys, rules, ApprovalPolicy()),
        verifications=Verifications(ledger_database, keys),
        reads=Reads(ledger_database, keys, rules),
        statements=Statements(ledger_database),
        outbox=Outbox(ledger_database),
        engine=engine,
        authenticator=Authenticator(issuer, ISSUER, AUDIENCE, clock),
        bank_signature=BankSignature(WEBHOOK_SECRETS),
        notifications=SeenNotifications(ledger_database),
        limits=CallLimits(people=GENEROUS, billing=GENEROUS, strangers=GENEROUS),
        clock=clock,
    )


@pytest.fixture
def app(parts: Parts) -> FastAPI:
    """The whole app."""
    return build_app(parts)


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The app's HTTP door; only the socket is left out."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield client


@pytest.fixture
async def console(
    http: httpx.AsyncClient, issuer: TestIssuer, engine: PlayedEngine, ledger_database: Database
) -> Console:
    """Everybody's client, with acct_1001 (1,280.00 of cash, a pay-as-you-use product) and acct_2002 registered."""
    console = Console(http, issuer, engine, ledger_database)
    await console.open_account("acct_1001", cash="1280.00", pay_as_you_use=True)
    await console.open_account("acct_2002", cash="900000.00", subject_type="company", name="云上科技（上海）有限公司")
    return console
