"""Which port each process of the stack listens on; all of them on 127.0.0.1."""

from __future__ import annotations

import random
import socket
import time
from dataclasses import dataclass, fields
from typing import Final

HOST: Final = "127.0.0.1"

_LETTING_GO_SECONDS: Final = 1.0

# Below the range from which the kernel takes the ports of outgoing connections, so that no client
# of anybody's can get hold of a port between our look at it and the moment the server binds it.
_OUTSIDE_THE_EPHEMERAL_RANGE: Final = range(12_000, 32_000)


class PortTaken(Exception):
    """Something else listens on a port that a process of the stack needs."""

    def __init__(self, port: int, needed_for: str) -> None:
        super().__init__(
            f"port {port} on {HOST} is taken, and {needed_for} needs it; "
            f"end the program that listens there, or start with another PORT_OFFSET"
        )
        self.port = port
        self.needed_for = needed_for


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack."""

    api: int = 8000
    console: int = 8001
    sandbox: int = 8002
    codec: int = 8003
    postgres: int = 5433
    temporal: int = 7233
    temporal_ui: int = 8233
    worker_metrics: int = 8004

    @classmethod
    def with_offset(cls, offset: int) -> Ports:
        """The usual ports, each higher by the offset, so that two stacks can run side by side."""
        ports = cls(*(getattr(cls(), field.name) + offset for field in fields(cls)))
        highest = max(getattr(ports, field.name) for field in fields(cls))
        lowest = min(getattr(ports, field.name) for field in fields(cls))
        if lowest < 1 or highest > 65_535:
            raise ValueError(f"PORT_OFFSET {offset} leads to port {highest if highest > 65_535 else lowest}")
        return ports

    @classmethod
    def free(cls) -> Ports:
        """Ports nobody listens on now, different from one another."""
        return cls(*free_ports(len(fields(cls))))


def free_ports(count: int) -> list[int]:
    """As many different ports as asked for that nobody listens on now."""
    found: list[int] = []
    # The system's randomness: two runs started with one seed must not walk through the same ports.
    for port in random.SystemRandom().sample(_OUTSIDE_THE_EPHEMERAL_RANGE, k=1_000):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} free ports on {HOST} among a thousand tried")


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now; one in TIME_WAIT is free, as it is for the servers."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def require_free(port: int, needed_for: str) -> None:
    """Raises PortTaken where another program listens on the port and goes on doing so."""
    # A stack that was killed a moment ago may still be letting go.
    deadline = time.monotonic() + _LETTING_GO_SECONDS
    while not is_free(port):
        if time.monotonic() > deadline:
            raise PortTaken(port, needed_for)
        time.sleep(0.05)
