"""The stack on one machine: what is started, in which order, with which environment."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from stack.ports import HOST, Ports, require_free
from stack.postgres import APP_ROLE, OWNER_ROLE, Logins, Postgres
from stack.processes import Process
from stack.state import State
from stack.temporal import Temporal, answers

ROOT: Final = Path(__file__).parent.parent

_COMMAND_SECONDS: Final = 120.0
_START_SECONDS: Final = 60.0
# What a room may take to finish what it is at; the worker allows its activities 20 s.
_GRACE_SECONDS: Final = 25.0
# The sandbox has short calls only.
_CALL_SECONDS: Final = 10

_METRICS: Final = "WITHDRAWALS_WORKER_METRICS_ADDRESS"

# Variables of the user's shell that would lead a process of the stack to another server, or through a proxy.
_FOREIGN: Final = ("WITHDRAWALS_", "SANDBOX_", "TEMPORAL_", "PG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class LocalStack:
    """A running stack. Everything in it ends with the block, or with the process, that started it."""

    state: State
    ports: Ports
    postgres: Postgres
    temporal: Temporal
    sandbox: Process
    worker: Process
    api: Process
    codec: Process
    environment: dict[str, str]

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self.ports.api}"

    @property
    def sandbox_url(self) -> str:
        return f"http://{HOST}:{self.ports.sandbox}"

    @property
    def codec_url(self) -> str:
        return f"http://{HOST}:{self.ports.codec}"

    @property
    def temporal_ui_url(self) -> str:
        return f"http://{HOST}:{self.ports.temporal_ui}"

    def require_running(self) -> None:
        """Raises ProcessFailed for the first process that has ended."""
        for process in (self.postgres.process, self.temporal.process, self.sandbox, self.worker, self.api, self.codec):
            process.require_running()

    def wait_until_ready(self) -> None:
        """Returns once `/readyz` answers 200; raises ProcessFailed for whoever has ended, or takes too long.

        The sandbox has no say in /readyz; without it no token is verified.
        """
        self.sandbox.wait_until(lambda: answers(f"{self.sandbox_url}/healthz"), seconds=_START_SECONDS)
        self.codec.wait_until(lambda: answers(f"{self.codec_url}/healthz"), seconds=_START_SECONDS)

        def everything_works() -> bool:
            self.require_running()
            return answers(f"{self.api_url}/readyz")

        self.api.wait_until(everything_works, seconds=_START_SECONDS)

    def another_worker(self) -> contextlib.AbstractContextManager[Process]:
        """One more worker beside the stack's own, until the block is left."""
        environment = {key: value for key, value in self.environment.items() if key != _METRICS}
        return _running("another worker", ["worker.py"], self.state.log("another-worker"), environment)


@contextlib.contextmanager
def running_stack(
    state: State,
    ports: Ports,
    *,
    durable: bool = True,
    tell: Callable[[str], None] = lambda _: None,
    postgres_through: int | None = None,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[LocalStack]:
    """Starts everything, yields once `/readyz` answers 200, and stops everything in reverse order.

    `tell` hears what is started next. With `postgres_through`, sandbox, worker and API reach PostgreSQL through that
    port; `extra` is added to their environment. Raises PortTaken, DirectoryInUse, ProcessFailed.
    """
    for port, needed_for in _ports_needed(ports):
        require_free(port, needed_for)
    with contextlib.ExitStack() as parts:
        tell("PostgreSQL and Temporal")
        state.payload_key_file()  # Before Temporal has a file of its own.
        # Temporal gets ready while PostgreSQL does.
        temporal = parts.enter_context(
            Temporal.running(
                log=state.log("temporal"),
                port=ports.temporal,
                ui_port=ports.temporal_ui,
                database=state.temporal_database,
                codec=f"http://{HOST}:{ports.codec}",
            )
        )
        postgres = parts.enter_context(
            Postgres.running(state.postgres, port=ports.postgres, durable=durable, log=state.log("postgres"))
        )
        environment = room_environment(state, ports, postgres.logins)
        tell("the migrations and the calendar")
        _finish("the migrations", ["-m", "alembic", "upgrade", "head"], state.log("migrations"), environment)
        _finish("the calendar", ["-m", "ledger.calendar"], state.log("calendar"), environment)
        temporal.wait_until_ready()
        if postgres_through is not None:
            environment |= {"WITHDRAWALS_DATABASE_URL": replace(postgres.logins, port=postgres_through).url(APP_ROLE)}
        environment |= extra
        tell("the sandbox, the worker, the API and the codec server")
        commands = {
            "sandbox": ("the sandbox", _uvicorn("sandbox.app:create_app", ports.sandbox)),
            "worker": ("the worker", ["worker.py"]),
            "codec": ("the codec server", _uvicorn("api.codec_server:create_app", ports.codec)),
            "api": ("the API", ["-m", "api", "--host", HOST, "--port", str(ports.api)]),
        }
        rooms = {
            room: parts.enter_context(_running(name, command, state.log(room), environment))
            for room, (name, command) in commands.items()
        }
        stack = LocalStack(state, ports, postgres, temporal, **rooms, environment=environment)
        stack.wait_until_ready()
        yield stack


def _ports_needed(ports: Ports) -> list[tuple[int, str]]:
    return [
        (ports.api, "the API"),
        (ports.sandbox, "the sandbox"),
        (ports.codec, "the codec server"),
        (ports.worker_metrics, "the worker's metrics"),
        (ports.postgres, "PostgreSQL"),
        (ports.temporal, "Temporal"),
        (ports.temporal_ui, "Temporal's UI"),
    ]


def room_environment(state: State, ports: Ports, logins: Logins) -> dict[str, str]:
    """What every process of the stack is told; each reads its own part."""
    sandbox = f"http://{HOST}:{ports.sandbox}"
    temporal_ui = f"http://{HOST}:{ports.temporal_ui}"
    inherited = {key: value for key, value in os.environ.items() if not key.upper().startswith(_FOREIGN)}
    return inherited | {
        "PYTHONUNBUFFERED": "1",
        # What the default, production, would refuse to start with.
        "WITHDRAWALS_MODE": "sandbox",
        "WITHDRAWALS_DECIDE_BY_SIGNAL": "true",
        "WITHDRAWALS_SERVE_OPENAPI": "true",
        # Load and guessing come from one address and one token here.
        "WITHDRAWALS_CALLS_PER_SECOND": "5000",
        "WITHDRAWALS_CALLS_BURST": "50000",
        "WITHDRAWALS_BILLING_CALLS_PER_SECOND": "5000",
        "WITHDRAWALS_BILLING_CALLS_BURST": "50000",
        "WITHDRAWALS_REFUSED_PER_SECOND": "5000",
        "WITHDRAWALS_REFUSED_BURST": "50000",
        "WITHDRAWALS_DATABASE_URL": logins.url(APP_ROLE),
        "WITHDRAWALS_MIGRATION_DATABASE_URL": logins.url(OWNER_ROLE),
        "WITHDRAWALS_KEY_FILE": str(state.key_file()),
        "WITHDRAWALS_AUDIT_ANCHOR_FILE": str(state.audit_anchor),
        "WITHDRAWALS_AUDIT_SIGNING_KEY_FILE": str(state.audit_signing_key()),
        "WITHDRAWALS_AUDIT_PUBLIC_KEY_FILE": str(state.audit_public_key),
        "WITHDRAWALS_PAYLOAD_KEY_FILE": str(state.payload_key_file()),
        "WITHDRAWALS_CODEC_ORIGINS": f"{temporal_ui},http://localhost:{ports.temporal_ui}",
        # The dev server's UI has nobody logged in, and no token to send.
        "WITHDRAWALS_CODEC_ORIGIN_WITHOUT_TOKEN": temporal_ui,
        _METRICS: f"{HOST}:{ports.worker_metrics}",
        "WITHDRAWALS_BANK_URL": sandbox,
        "WITHDRAWALS_SMS_URL": sandbox,
        "WITHDRAWALS_BANK_WEBHOOK_SECRETS": state.webhook_secret(),
        "WITHDRAWALS_SWEEP_EVERY_S": "15",
        # The card of the API's own example is made up, and its check digit is wrong.
        "WITHDRAWALS_TEST_CARDS": "6230580000000000018",
        "WITHDRAWALS_JWT_ISSUER": sandbox,
        "WITHDRAWALS_JWT_AUDIENCE": "withdrawals",
        "WITHDRAWALS_JWKS_URL": f"{sandbox}/.well-known/jwks.json",
        "TEMPORAL_ADDRESS": f"{HOST}:{ports.temporal}",
        "TEMPORAL_NAMESPACE": "default",
        # An empty file: the profiles in the user's own are for other servers.
        "TEMPORAL_CONFIG_FILE": os.devnull,
        "SANDBOX_BOOK": str(state.sandbox_book),
        "SANDBOX_NOTIFY_URL": f"http://{HOST}:{ports.api}/v1/bank-notifications",
        "SANDBOX_WEBHOOK_SECRET": state.webhook_secret(),
        "SANDBOX_ISSUER": sandbox,
        "SANDBOX_AUDIENCE": "withdrawals",
        "SANDBOX_SIGNING_KEY": str(state.sandbox_signing_key),
    }


def _uvicorn(factory: str, port: int) -> list[str]:
    return [
        *("-m", "uvicorn", "--factory", factory, "--no-access-log", "--host", HOST, "--port", str(port)),
        f"--timeout-graceful-shutdown={_CALL_SECONDS}",
    ]


@contextlib.contextmanager
def _running(name: str, arguments: list[str], log: Path, environment: dict[str, str]) -> Iterator[Process]:
    process = _start(name, arguments, log, environment)
    try:
        yield process
    finally:
        process.stop((signal.SIGTERM, _GRACE_SECONDS))


def _finish(name: str, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
    _start(name, arguments, log, environment).finish(seconds=_COMMAND_SECONDS)


def _start(name: str, arguments: list[str], log: Path, environment: dict[str, str]) -> Process:
    command = [sys.executable, *arguments]
    return Process.start(name, command, log=log, environment=environment, directory=ROOT)
