"""Over real sockets: callers who are slow, never end, or send what is no HTTP. Each loses its connection, no other."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn

from api.__main__ import BoundedHttp, configured
from api.app import build_app
from api.parts import Parts
from stack.ports import HOST, free_ports
from tests.api.console import Console

HEAD_S, BODY_S, REQUEST_S = 1.0, 1.2, 2.0
BUSY_S = 6.0
"""What a busy machine may add; what is not cut off stays for the whole time-out."""


class ImpatientHttp(BoundedHttp):
    """The API's own protocol, for tests that have no ten seconds."""

    head_deadline_s = HEAD_S
    request_deadline_s = REQUEST_S


@contextlib.asynccontextmanager
async def served(parts: Parts, *, trusted_proxies: str = "") -> AsyncIterator[int]:
    """The app behind its real server, on the port that is yielded."""
    app = build_app(parts, body_deadline_s=BODY_S)
    (free,) = free_ports(1)
    config = configured(app, host=HOST, port=free, trusted_proxies=trusted_proxies, http=ImpatientHttp)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield free
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def port(parts: Parts) -> AsyncIterator[int]:
    """Where the app is served."""
    async with served(parts) as port:
        yield port


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection as a stranger opens one."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def sent_slowly(port: int, begin: bytes, drip: bytes, *, seconds: float) -> tuple[bytes, float]:
    """What is answered to a beginning and a drip every 50 ms, and after how long the connection is gone."""
    async with connected(port) as (reader, writer):
        begun = asyncio.get_running_loop().time()
        writer.write(begin)
        answer = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(seconds):
            while not answer.done():
                writer.write(drip)
                await asyncio.wait([answer], timeout=0.05)
        with contextlib.suppress(ConnectionError):
            return answer.result(), asyncio.get_running_loop().time() - begun
        return b"", asyncio.get_running_loop().time() - begun


async def test_a_connection_that_says_nothing_is_closed(port: int) -> None:
    """Not a byte: gone after the time a head may take."""
    answer, seconds = await sent_slowly(port, b"", b"", seconds=15)
    assert answer == b""
    assert HEAD_S - 0.1 < seconds < HEAD_S + BUSY_S


@pytest.mark.parametrize("begin", [b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nX: "])
async def test_headers_that_never_end_are_cut_off(port: int, begin: bytes) -> None:
    """A line, or a letter, now and then does not keep a connection open."""
    drip = b"A: b\r\n" if begin.endswith(b"\r\n") else b"x"
    answer, seconds = await sent_slowly(port, begin, drip, seconds=15)
    assert answer == b""
    assert HEAD_S - 0.1 < seconds < HEAD_S + BUSY_S


async def test_a_second_request_has_no_more_time_than_the_first(port: int) -> None:
    """A connection kept alive is no way around it."""
    async with connected(port) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        begun = asyncio.get_running_loop().time()
        writer.write(b"GET /healthz HTTP/1.1\r\nA: ")
        rest = asyncio.ensure_future(reader.read())
        async with asyncio.timeout(15):
            while not rest.done():
                writer.write(b"x")
                await asyncio.wait([rest], timeout=0.05)
    with contextlib.suppress(ConnectionError):
        assert rest.result() == b""
    assert asyncio.get_running_loop().time() - begun < HEAD_S + BUSY_S


async def test_a_body_that_never_ends_is_answered_and_cut_off(port: int, console: Console) -> None:
    """408 as a problem document, and nothing of the app has run."""
    head = b"POST /v1/withdrawals HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    for framing, drip in ((b"Content-Length: 9000", b" "), (b"Transfer-Encoding: chunked", b"1\r\n \r\n")):
        async with console.nothing_changes():
            answer, seconds = await sent_slowly(port, head + framing + b"\r\n\r\n", drip, seconds=15)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"
        assert BODY_S - 0.1 < seconds < BODY_S + BUSY_S


async def test_what_drips_on_after_the_answer_is_cut_off(port: int) -> None:
    """A body announced as too large is refused at once; its sender does not keep the connection by going on."""
    begin = b"POST /v1/withdrawals HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"
    answer, seconds = await sent_slowly(port, begin, b" ", seconds=15)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert seconds < REQUEST_S + BUSY_S


async def test_one_endless_header_does_not_fill_the_memory(port: int) -> None:
    """64 KiB without an end of line is the end."""
    async with connected(port) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof() and sent < 10_000_000:
                writer.write(b"x" * 8192)
                sent += 8192
                await writer.drain()
                await asyncio.sleep(0)
        assert sent < 10_000_000


async def test_slow_callers_keep_nobody_waiting(port: int) -> None:
    """Two hundred of them, and a quick one is answered."""
    async with contextlib.AsyncExitStack() as connections:
        for _ in range(200):
            _, writer = await connections.enter_async_context(connected(port))
            writer.write(b"POST /v1/withdrawals HTTP/1.1\r\nContent-Length: 9\r\n\r\n{")
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=10) as http:
            assert (await http.get("/healthz")).status_code == 200


SMUGGLED = [
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /healthz HTTP/1.1\r\nHo\rst: a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nIdempotency-Key: a\r\n b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nIdempotency-Key : a\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nX: a\0b\r\n\r\n",
    b"GET /health\0z HTTP/1.1\r\n\r\n",
    b"GET  HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("raw", SMUGGLED)
async def test_what_two_servers_could_read_differently_is_no_request(port: int, raw: bytes) -> None:
    """Two lengths, folded lines, bare CR, NUL: 400 and the end of the connection, before the app."""
    async with connected(port) as (reader, writer):
        writer.write(raw)
        async with asyncio.timeout(15):
            answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ") or answer == b"", answer


async def test_only_a_trusted_proxy_is_believed_about_address_and_tls(parts: Parts) -> None:
    """Forwarded headers of whoever is none are left alone; of one who is, the answer tells browsers to stay on TLS."""
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    for trusted_proxies, over_tls in (("", None), ("192.0.2.9", None), (HOST, "max-age=31536000; includeSubDomains")):
        async with (
            served(parts, trusted_proxies=trusted_proxies) as port,
            httpx.AsyncClient(base_url=f"http://{HOST}:{port}", trust_env=False) as http,
        ):
            answer = await http.get("/healthz", headers=forwarded)
        assert answer.headers.get("strict-transport-security") == over_tls
        assert "server" not in answer.headers
