"""The request before anyone believes it: not too large, not too slow, and JSON of the plainest kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 16 * 1024
HEAD_LIMIT = 32 * 1024
"""Path, query and headers together; the longest token we read is a quarter of it."""
BODY_DEADLINE_S = 15.0
DEPTH_LIMIT = 16

Refuse = Callable[[Scope, "type[Limit]"], ASGIApp]


class Limit(Exception):
    """What a request has too much of."""


class HeadTooLarge(Limit):
    """More than ``HEAD_LIMIT`` bytes of path, query and headers."""


class BodyTooLong(Limit):
    """More bytes of body than are read."""


class BodyTooSlow(Limit):
    """The body was not there after ``BODY_DEADLINE_S`` seconds."""


class _Gone(Exception):
    """The caller hung up before the body was there."""


class RequestLimits:
    """Reads a body of up to ``limit`` bytes, however it is framed, before the app sees the request."""

    def __init__(
        self, app: ASGIApp, refuse: Refuse, limit: int = BODY_LIMIT, deadline_s: float = BODY_DEADLINE_S
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._limit = limit
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with ``refuse`` if a limit is passed; nothing of the app runs then."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if _head_size(scope) > HEAD_LIMIT:
                raise HeadTooLarge
            async with asyncio.timeout(self._deadline_s):
                body = await _read(Headers(scope=scope), receive, self._limit)
        except _Gone:
            return
        except (Limit, TimeoutError) as passed:
            limit = type(passed) if isinstance(passed, Limit) else BodyTooSlow
            await self._refuse(scope, limit)(scope, receive, send)
            return
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, replay, send)


def _head_size(scope: Scope) -> int:
    head = sum(len(name) + len(value) for name, value in scope["headers"])
    return head + len(scope.get("raw_path") or b"") + len(scope["query_string"])


async def _read(headers: Headers, receive: Receive, limit: int) -> bytes:
    declared = headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared[:20]) > limit:
        raise BodyTooLong
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise BodyTooLong
    return bytes(body)


@dataclass(frozen=True)
class Unreadable:
    """A body that is no JSON of ours. It fails validation, and so after authentication, not before."""

    reason: str


def read_json(body: bytes) -> Any:
    """Parses JSON as the contract has it; ``ValueError`` says what is wrong without quoting the body.

    Stricter than the standard library: UTF-8 only, no duplicate keys (two parsers could disagree on which one
    counts), no ``NaN`` or ``Infinity``, no NUL, no lone surrogates, at most 16 levels.
    """
    try:
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except _Refused:
        raise
    except (ValueError, RecursionError) as error:
        raise _Refused("The body is not valid JSON.") from error
    _check(value)
    return value


class StrictRequest(Request):
    """A request whose JSON is read by ``read_json``."""

    async def json(self) -> Any:
        """The parsed body, or ``Unreadable``."""
        try:
            return read_json(await self.body())
        except ValueError as error:
            return Unreadable(str(error))


class StrictRoute(APIRoute):
    """A route that reads its body as a ``StrictRequest``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, over the stricter request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly


class _Refused(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Refused("The body has a duplicate key.")
    return members


def _no_constant(_: str) -> Any:
    raise _Refused("The body is not valid JSON.")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def _check(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_LIMIT):
        if not level:
            return
        for text in (item for item in level if isinstance(item, str)):
            if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
                raise _Refused("The body has a character that is no text.")
        level = [part for item in level for part in _parts(item)]
    if level:
        raise _Refused("The body is nested too deeply.")
