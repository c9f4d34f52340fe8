"""A wire between the rooms and PostgreSQL that can be cut at COMMIT, so that nobody knows the outcome.

It is a process of its own: everything that the rooms say to PostgreSQL passes through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Final

import uvloop

from stack.ports import HOST

# A simple query of the frontend/backend protocol: type, length, text, zero.
_COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"

_MOMENTS: Final = ("before", "after")
_DISARM, _COUNT, _READY = "disarm", "count", "ready"
_ANSWER_SECONDS: Final = 20.0


class Wire:
    """Passes bytes on. Once armed, the next COMMIT is cut before it arrives, or before its answer does."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._lock = threading.Lock()

    @classmethod
    @contextlib.contextmanager
    def laid(cls, port: int, postgres_port: int) -> Iterator[Wire]:
        """Listens until the block is left; ends by itself if this process does."""
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe()
        process = spawning.Process(target=_run, args=(theirs, port, postgres_port), name="wire", daemon=True)
        process.start()
        theirs.close()
        try:
            wire = cls(ours)
            wire._answer()
            yield wire
        finally:
            ours.close()
            process.join(10)
            process.kill()

    def arm(self, moment: str) -> None:
        """`before`: PostgreSQL never hears the next COMMIT. `after`: it commits, and the caller never hears so."""
        with self._lock:
            self._control.send(moment)

    def disarm(self) -> None:
        """Every COMMIT passes again."""
        with self._lock:
            self._control.send(_DISARM)

    @property
    def cut(self) -> dict[str, int]:
        """How often it was cut, by moment."""
        with self._lock:
            self._control.send(_COUNT)
            cut = self._answer()
        assert isinstance(cut, dict), "the one question is answered with the counts"
        return cut

    def _answer(self) -> object:
        if not self._control.poll(_ANSWER_SECONDS):
            raise TimeoutError("the wire does not answer")
        return self._control.recv()


def _run(control: Connection, port: int, postgres_port: int) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_Splice(control, postgres_port).listen(port))


class _Splice:
    """The wire's own side."""

    def __init__(self, control: Connection, postgres_port: int) -> None:
        self._control = control
        self._postgres_port = postgres_port
        self._armed = ""
        self._cut = dict.fromkeys(_MOMENTS, 0)

    async def listen(self, port: int) -> None:
        over = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._control.fileno(), self._hear, over)
        server = await asyncio.start_server(self._pass_on, HOST, port)
        self._control.send(_READY)
        await over.wait()
        server.close()

    def _hear(self, over: asyncio.Event) -> None:
        try:
            said = self._control.recv()
        except EOFError:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            over.set()
            return
        if said == _COUNT:
            self._control.send(dict(self._cut))
        else:
            self._armed = "" if said == _DISARM else str(said)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._postgres_port)
        except OSError:
            writer.transport.abort()
            return
        committing = asyncio.Event()
        ways = (
            asyncio.ensure_future(self._to_server(reader, server_writer, committing)),
            asyncio.ensure_future(_to_client(server_reader, writer, committing)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.transport.abort()
            server_writer.transport.abort()

    async def _to_server(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, committing: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if self._armed and _COMMIT in data:
                    moment, self._armed = self._armed, ""
                    self._cut[moment] += 1
                    if moment == "before":
                        return
                    committing.set()
                writer.write(data)
                await writer.drain()


async def _to_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, committing: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            if committing.is_set():
                return  # It has committed, and its word is lost on the way.
            writer.write(data)
            await writer.drain()
