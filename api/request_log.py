"""Around every request: its id, its line in the log, its count, and an answer if all else fails."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.problems import InternalError, problem_response

NO_ROUTE = "none"

log = structlog.get_logger()


class RequestLog:
    """Logs route templates, never paths, queries, bodies or people."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on under an id of its own; one sent by the caller is not ours to trust."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started = self._clock()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception:
            log.exception("request_failed", request_id=request_id)
            if status:
                raise
            await problem_response(InternalError(), request_id)(scope, receive, send_marked)
        finally:
            self._tell(scope, request_id, status, self._clock() - started)

    def _tell(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        self._metrics.count(_known(scope["method"]), route, status, seconds)
        log.info(
            "request",
            request_id=request_id,
            method=_known(scope["method"]),
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
        )


def log_json_lines() -> None:
    """Sets this process's log up: one JSON object a line on standard output."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _known(method: str) -> str:
    """A made-up method must not become a label of its own."""
    return method if method in _METHODS else "OTHER"
