"""The console's backend as a real HTTP server, which believes only what is signed and remembers what it took."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET, NEXT_SECRET = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8

Json = dict[str, Any]


@dataclass
class Taken:
    """One message that came, with the receiver's answer to it."""

    id: str
    body: Json
    answer: int


@dataclass
class Listener:
    """``answer`` says what it does with a message; everything signed that came is in ``heard``."""

    url: str
    answer: Callable[[Json], int] = lambda _: 204
    secrets: tuple[str, ...] = (SECRET,)
    heard: list[Taken] = field(default_factory=list)

    def kinds(self, withdrawal_id: object) -> list[str]:
        """The events it took of one withdrawal, in the order they came."""
        return [one.body["data"]["event"]["kind"] for one in self.taken(withdrawal_id)]

    def of(self, withdrawal_id: object) -> list[Taken]:
        """Everything that came of one withdrawal, whatever it said to it."""
        return [one for one in self.heard if one.body["data"]["withdrawal"]["id"] == str(withdrawal_id)]

    def taken(self, withdrawal_id: object) -> list[Taken]:
        """What it said yes to."""
        return [one for one in self.of(withdrawal_id) if 200 <= one.answer < 300]

    def hear(self, body: bytes, headers: dict[str, str]) -> int:
        """401 for what none of its secrets has signed."""
        for secret in self.secrets:
            with contextlib.suppress(Exception):
                Webhook(secret).verify(body, headers)
                break
        else:
            return 401
        message = json.loads(body)
        taken = Taken(headers["webhook-id"], message, 0)
        self.heard.append(taken)
        taken.answer = self.answer(message)
        return taken.answer


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    """On a free port of this machine, until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = listener.hear(body, {key.lower(): value for key, value in self.headers.items()})
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not into the output of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    listener = Listener(f"http://127.0.0.1:{server.server_port}/events")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
