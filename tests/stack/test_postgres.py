from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from stack.ports import HOST, PortTaken, free_ports
from stack.postgres import APP_ROLE, DATABASE, OWNER_ROLE, Postgres
from stack.processes import Process
from tests.databases import ROOT
from tests.stack.living import descendants, lives, wait_until_dead

# Starts a server on its first argument, says its process id, and waits to be killed.
_PARENT = """
import pathlib, sys, time
from stack.postgres import Postgres
with Postgres.running(pathlib.Path(sys.argv[1]), durable=False) as server:
    print(server.process.pid, server.logins.port, flush=True)
    time.sleep(60)
"""


def test_a_first_run_makes_everything_the_rooms_need(tmp_path: Path) -> None:
    """UTF-8, checksums, the database and its owner; also in a path with a space that is closed to others."""
    closed = tmp_path / "closed to others"
    closed.mkdir(mode=0o700)
    with Postgres.running(closed / "postgres", durable=False) as server, server.connect() as connection:
        row = connection.execute(
            "SELECT current_setting('server_encoding'), current_setting('data_checksums'), datcollate,"
            " rolname, current_setting('listen_addresses')"
            " FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE datname = current_database()"
        ).fetchone()
        assert row == ("UTF8", "on", "C.UTF-8", OWNER_ROLE, HOST)
        roles = connection.execute(
            "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = ANY(%s)",
            [[OWNER_ROLE, APP_ROLE]],
        ).fetchall()
        assert sorted(roles) == [(APP_ROLE, False, False, False), (OWNER_ROLE, False, False, False)]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.url().replace("+psycopg", "").replace(f"{APP_ROLE}:", f"{APP_ROLE}:not-"))
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_what_was_committed_survives_a_crash(tmp_path: Path) -> None:
    """After SIGKILL the next run starts on the same data, even if the lock file names a living process."""
    directory = tmp_path / "postgres"
    with Postgres.running(directory) as server, server.connect() as connection:
        connection.execute("CREATE TABLE proof AS SELECT 42 AS fen")
        first_logins = server.logins.passwords
        os.kill(server.process.pid, signal.SIGKILL)
    # Process ids come round again: this one belongs to the server's own user, so PostgreSQL could not tell.
    user = directory.stat().st_uid
    become = [f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.geteuid() == 0 else []
    stranger = Process.start("stranger", ["sleep", "60"], log=tmp_path / "log", privileges=become)
    try:
        lock = directory / "data/postmaster.pid"
        lock.write_text("\n".join([str(stranger.pid), *lock.read_text().splitlines()[1:], ""]))
        with Postgres.running(directory) as server, server.connect() as connection:
            assert connection.execute("SELECT fen FROM proof").fetchone() == (42,)
            assert server.logins.passwords == first_logins
        assert lives(stranger.pid)
    finally:
        stranger.stop()


def test_the_server_dies_with_its_parent_and_can_be_started_at_once(tmp_path: Path) -> None:
    """SIGKILL of the one that runs it takes all of the server along; the next run waits for that."""
    directory = tmp_path / "postgres"
    command = [sys.executable, "-c", _PARENT, str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline().split()[0])
        all_of_it = {pid} | descendants(pid)
        assert len(all_of_it) > 3
        # Dying takes it a while, as it would in the middle of much work.
        os.kill(pid, signal.SIGSTOP)
        parent.kill()
        parent.wait()
        threading.Timer(0.5, os.kill, (pid, signal.SIGCONT)).start()
    with Postgres.running(directory, durable=False) as server, server.connect() as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (DATABASE,)
        assert not wait_until_dead(all_of_it, seconds=0)
        last = {server.process.pid} | descendants(server.process.pid)
    assert not wait_until_dead(last, seconds=0)


def test_a_taken_port_starts_nothing(tmp_path: Path) -> None:
    """The error names the port, and the data of whoever listens there is left alone."""
    before = descendants(os.getpid())
    with (
        socket.create_server((HOST, free_ports(1)[0])) as other,
        pytest.raises(PortTaken, match=rf"{other.getsockname()[1]}.*PostgreSQL"),
        Postgres.running(tmp_path / "postgres", port=other.getsockname()[1], durable=False),
    ):
        pass
    assert descendants(os.getpid()) == before
    assert not (tmp_path / "postgres").exists()


def test_an_ordinary_user_without_a_home_can_run_it(tmp_path: Path) -> None:
    """No root and no HOME are needed."""
    directory = tmp_path / "ordinary"
    directory.mkdir()
    become = ["setpriv"]
    if os.geteuid() == 0:
        os.chown(directory, 65_534, 65_534)
        # It may read whatever this test may, as the interpreter can lie below a closed folder; not write.
        become += ["--reuid=65534", "--regid=65534", "--clear-groups"]
        become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    command = [*become, "--pdeathsig=KILL", "--", sys.executable, "-c", _PARENT, str(directory / "postgres")]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid, port = map(int, parent.stdout.readline().split())
            owner = Path(f"/proc/{pid}").stat().st_uid
            assert owner == directory.stat().st_uid != 0
            with socket.create_connection((HOST, port), timeout=5):
                pass
        finally:
            parent.kill()
    assert not wait_until_dead({pid})
