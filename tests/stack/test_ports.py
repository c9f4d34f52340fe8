from __future__ import annotations

import socket

import pytest

from stack.ports import HOST, Ports, PortTaken, free_ports, is_free, require_free


def test_an_offset_moves_every_port() -> None:
    """PORT_OFFSET is added to each port, so that two stacks share none."""
    assert Ports.with_offset(100) == Ports(8100, 8101, 8102, 8103, 5533, 7333, 8333, 8104)
    assert Ports.with_offset(0) == Ports()


@pytest.mark.parametrize("offset", [-5433, 60_000])
def test_an_offset_that_leads_out_of_the_ports_is_refused(offset: int) -> None:
    """No port becomes 0, which would mean *any*, or more than 65535."""
    with pytest.raises(ValueError, match=f"PORT_OFFSET {offset}"):
        Ports.with_offset(offset)


def test_a_taken_port_is_told_with_who_needs_it() -> None:
    """The message names the port and what it is for, and nothing is started on it."""
    with socket.create_server((HOST, free_ports(1)[0])) as other:
        port = other.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(PortTaken, match=rf"port {port} .* the sandbox needs it"):
            require_free(port, "the sandbox")
    require_free(port, "the sandbox")


def test_free_ports_are_different_and_free() -> None:
    """Asked for several, all can be listened on at once."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)
