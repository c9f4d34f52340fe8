"""What every answer tells a browser that comes upon it: it is data, and ours alone."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Names and amounts: nothing on the way, and no disk, keeps a copy.
    "Cache-Control": "no-store",
    # JSON is never a page: nothing in it runs, and no page frames it.
    "Content-Security-Policy": "default-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
OVER_TLS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
"""A year. Over plain HTTP a browser must not heed it (RFC 6797, 7.2)."""


class SecurityHeaders:
    """Adds what an answer does not say itself; there is no CORS header, so no other site's script reads one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, and marks the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wanted = HEADERS | OVER_TLS if scope.get("scheme") == "https" else HEADERS

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_marked)
