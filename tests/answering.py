"""An outside party on a real socket, which says on the wire what it is told to say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import test_utils, web


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: str


@dataclass
class Party:
    """``says`` these bytes to everybody, ``says_first`` others once each; then it falls silent or hangs up."""

    says: bytes
    says_first: list[bytes] = field(default_factory=list)
    falls_silent: bool = False
    silent: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request; the connection ends with it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append(Asked(f"{request.method} {request.path_qs}", headers, await request.text()))
        assert request.transport is not None
        request.transport.write(self.says_first.pop(0) if self.says_first else self.says)
        if self.falls_silent:
            self.silent.set()
            await asyncio.sleep(60)
        request.transport.close()
        return web.Response()

    @property
    def lines(self) -> list[str]:
        """Method and path of everything it was asked."""
        return [asked.line for asked in self.asked]


def answer(status: int, body: str | bytes = b"", *headers: str) -> bytes:
    """A whole answer; its body is said to be plain text, whatever it is."""
    content = body.encode() if isinstance(body, str) else body
    fixed = ("Connection: close", "Content-Type: text/plain", f"Content-Length: {len(content)}")
    return "\r\n".join((f"HTTP/1.1 {status} .", *headers, *fixed, "", "")).encode() + content


@asynccontextmanager
async def answering(says: bytes = b"", *, falls_silent: bool = False) -> AsyncIterator[Party]:
    """On a free port of this machine, until the block is left."""
    party = Party(says, falls_silent=falls_silent)
    async with test_utils.RawTestServer(party.answer, host="localhost") as server:
        party.url = str(server.make_url("/"))
        yield party
