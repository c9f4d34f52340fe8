"""The API as a process: ``python -m api [--host …] [--port …] [--trusted-proxies …]``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.body import HEAD_LIMIT
from production import Unsafe

HEAD_DEADLINE_S = 10.0
REQUEST_DEADLINE_S = 30.0
"""From a request's first byte to its last. Our own answer to a slow body comes before."""
GRACE_S = 10
MOST_CONNECTIONS = 4096


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's own protocol with an end to waiting: it has a time-out for idle connections, but none for slow ones.

    A client that sends a byte now and then would hold a connection for ever, before its headers are complete, and
    after an answer that came before the end of its body.
    """

    head_deadline_s = HEAD_DEADLINE_S
    request_deadline_s = REQUEST_DEADLINE_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_bytes = 0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._must_go_on_within(self.head_deadline_s)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            # The parser keeps a header until it is complete, however long that takes.
            self._head_bytes += len(data)
            if self._head_bytes > 2 * HEAD_LIMIT:
                self.transport.close()

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._must_go_on_within(self.head_deadline_s)

    @override
    def on_headers_complete(self) -> None:
        self._in_head = False
        self._must_go_on_within(self.request_deadline_s)
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        self._forget_deadline()
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def _must_go_on_within(self, seconds: float) -> None:
        self._forget_deadline()
        self._deadline = self.loop.call_later(seconds, self._give_up)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def configured(
    app: Any, *, host: str, port: int, trusted_proxies: str = "", http: type[BoundedHttp] = BoundedHttp
) -> uvicorn.Config:
    """How the API is served; ``trusted_proxies`` are those whose forwarded address and scheme are believed."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        http=http,
        ws="none",
        # The API writes a line of its own for each request; uvicorn's would have account ids in it.
        access_log=False,
        server_header=False,
        # uvicorn's own default believes everybody on this machine.
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )


def main() -> None:
    """Serves until SIGINT or SIGTERM; ends at once, with every reason, where the settings are not safe."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--trusted-proxies",
        default="",
        help="addresses, comma separated, whose X-Forwarded-For and X-Forwarded-Proto are believed (default: nobody's)",
    )
    options = parser.parse_args()
    config = configured(
        "api.app:create_app", host=options.host, port=options.port, trusted_proxies=options.trusted_proxies
    )
    try:
        config.load()
    except Unsafe as unsafe:
        sys.exit(str(unsafe))
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
