"""The sandbox in this process with its engines running, and as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import httpx
import pytest
from pydantic import SecretStr

from sandbox.app import create_app
from sandbox.book import Clock
from sandbox.settings import Settings
from tests.sandbox.bank_client import PATIENCE_S, change_settings

REPOSITORY = Path(__file__).parents[2]
WEBHOOK_SECRET = "whsec_c2FuZGJveC1zZWNyZXQtZm9yLXRlc3RzLW9ubHk="


class ManualClock:
    """Stands still until it is told."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class OpenSandbox(Protocol):
    """Opens a sandbox on the test's own book; opening it again is a restart."""

    def __call__(
        self, *, notify_url: str = "", clock: Clock = time.time, tick_s: float = 0.01
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]: ...


@pytest.fixture
def open_sandbox(tmp_path: Path) -> OpenSandbox:
    """Real app, real engines, real book; only the socket is left out."""

    @asynccontextmanager
    async def running(
        *, notify_url: str = "", clock: Clock = time.time, tick_s: float = 0.01
    ) -> AsyncIterator[httpx.AsyncClient]:
        settings = Settings(
            book=tmp_path / "book.sqlite3",
            signing_key=tmp_path / "signing-key.pem",
            notify_url=notify_url,
            webhook_secret=SecretStr(WEBHOOK_SECRET),
            issuer="http://sandbox.test",
            audience="withdrawals",
            tick_s=tick_s,
        )
        app = create_app(settings, clock)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as client,
        ):
            yield client

    return running


@pytest.fixture
async def sandbox(open_sandbox: OpenSandbox) -> AsyncIterator[httpx.AsyncClient]:
    """A sandbox that settles and returns within hundredths of a second."""
    async with open_sandbox() as client:
        await change_settings(client, settle_after_s=0.02, return_after_s=0.02)
        yield client


@dataclass
class Receiver:
    """Takes notifications on a real socket; answers with `statuses` first, then 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/v1/bank-notifications"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


@dataclass
class SandboxProcess:
    """A sandbox started as `make up` starts it; `start` again after `kill` is a restart on the same book."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it answers."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_")}
        environment |= {
            "SANDBOX_BOOK": str(self.folder / "book.sqlite3"),
            "SANDBOX_SIGNING_KEY": str(self.folder / "signing-key.pem"),
            "SANDBOX_TICK_S": "0.01",
        }
        command = ["-m", "uvicorn", "--factory", "sandbox.app:create_app", "--port", str(self.port)]
        self.process = subprocess.Popen([sys.executable, *command], cwd=REPOSITORY, env=environment)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self.process.poll() is None, "the sandbox ended at once"
            assert time.monotonic() < deadline, "the sandbox does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: no goodbye, no clean-up."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def sandbox_process(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox process on a free port, ended with the test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sandbox = SandboxProcess(tmp_path, port)
    try:
        sandbox.start()
        yield sandbox
    finally:
        sandbox.kill()  # Also one that did not answer in time.
