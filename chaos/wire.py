"""A wire between the rooms and PostgreSQL that can be cut at COMMIT, so that nobody knows the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Final

from stack.ports import HOST

# A simple query of the frontend/backend protocol: type, length, text, zero.
_COMMIT: Final = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Wire:
    """Passes bytes on. Once armed, the next COMMIT is cut before it arrives, or before its answer does."""

    def __init__(self, port: int, postgres_port: int) -> None:
        self.cut = {"before": 0, "after": 0}
        self._port = port
        self._postgres_port = postgres_port
        self._armed: list[str] = []
        self._loop = asyncio.new_event_loop()

    @classmethod
    @contextlib.contextmanager
    def laid(cls, port: int, postgres_port: int) -> Iterator[Wire]:
        """Listens until the block is left."""
        wire, ready = cls(port, postgres_port), threading.Event()
        thread = threading.Thread(target=wire._run, args=[ready], name="wire", daemon=True)
        thread.start()
        ready.wait(10)
        try:
            yield wire
        finally:
            wire._loop.call_soon_threadsafe(wire._loop.stop)
            thread.join(10)

    def arm(self, moment: str) -> None:
        """`before`: PostgreSQL never hears the next COMMIT. `after`: it commits, and the caller never hears so."""
        self._armed = [moment]

    def disarm(self) -> None:
        """Every COMMIT passes again."""
        self._armed = []

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._pass_on, HOST, self._port))
        ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._postgres_port)
        except OSError:
            writer.transport.abort()
            return
        both = (writer.transport, server_writer.transport)
        committing = asyncio.Event()
        try:
            await asyncio.wait(
                [
                    asyncio.ensure_future(self._to_server(reader, server_writer, committing)),
                    asyncio.ensure_future(_to_client(server_reader, writer, committing)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for transport in both:
                transport.abort()

    async def _to_server(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, committing: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if self._armed and _COMMIT in data:
                    moment = self._armed.pop()
                    self.cut[moment] += 1
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
