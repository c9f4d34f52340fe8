"""The way to PostgreSQL: one engine, short transactions, and its troubles in the project's own words."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors
from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url, text

from domain.errors import TemporarilyUnavailable
from ledger.prepared import driver_of

log = logging.getLogger(__name__)

# Limits on everything: a lock held too long or a lost client must not stop the others.
IDLE_S = 1.0
"""After how many seconds in the pool a connection is asked whether its server still answers."""

_SESSION = "-c statement_timeout=15s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s -c timezone=UTC"

_SOCKET = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 20_000}
"""A server that is gone without a word, or a gateway that forgot a connection that idled: known within half a minute
(seconds, and milliseconds for the last), where the kernel alone would wait for a quarter of an hour."""

NO_TIME_LIMIT = text("SET LOCAL statement_timeout = 0")
"""Reading every row there is may take longer than a customer's transaction ever should."""


@dataclass(frozen=True)
class Database:
    """Opens transactions; every driver error that may pass by itself comes out as ``TemporarilyUnavailable``.

    That includes a connection cut at COMMIT, whose outcome nobody knows: the caller asks again with the same
    operation key and gets what the first call did, if it did.
    """

    engine: Engine

    @classmethod
    def connect(cls, url: str | URL, *, pool_size: int = 16) -> Database:
        """An engine on ``postgresql+psycopg``; nothing is opened before the first transaction."""
        engine = create_engine(
            make_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            # The one used last has most statements prepared. The others may idle for hours, and are asked before use.
            pool_use_lifo=True,
            hide_parameters=True,  # An error that lands in a log quotes no one's data.
            connect_args={
                "connect_timeout": 5,
                "options": _SESSION,
                "application_name": "withdrawals",
                **_SOCKET,
            },
        )
        _keep_only_living(engine)
        return cls(engine)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """READ COMMITTED; commits at the end, rolls back on any error."""
        with translated(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """For a single statement, which commits by itself: no round trip for a BEGIN, and none for a COMMIT."""
        with translated(), self.engine.connect() as connection:
            driver = driver_of(connection)
            # Set by hand: as an isolation level of SQLAlchemy it would cost as much as what it saves.
            driver.autocommit = True
            try:
                yield connection
            finally:
                if not driver.closed:
                    driver.autocommit = False

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """REPEATABLE READ and read only: everything read inside is of one moment."""
        with translated(), self.engine.connect() as connection:
            reading = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with reading.begin():
                yield reading

    def ping(self) -> None:
        """Returns if the database answers and the schema is there."""
        with self.transaction() as connection:
            connection.execute(text("SELECT 1 FROM withdrawals LIMIT 1"))

    def close(self) -> None:
        """Gives every pooled connection back."""
        self.engine.dispose()


def _keep_only_living(engine: Engine) -> None:
    """Nobody is given a connection whose server is known to be gone.

    A server that stops, or ends a session, closes its end at once: then there is something to read where nothing was
    asked. Only such a connection, or one that has idled, is worth the round trip of a ping.
    """

    def note(_: object, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def look(driver: Any, record: Any, _: object) -> None:
        idle_since = record.info.pop("idle_since", None)
        if idle_since is None or (time.monotonic() - idle_since < IDLE_S and not _has_something_to_say(driver)):
            return
        try:
            engine.dialect.do_ping(driver)
        except psycopg.Error:
            raise exc.InvalidatePoolError from None  # The pool opens a new one, and trusts none of the others.

    event.listen(engine, "checkin", note)
    event.listen(engine, "checkout", look)


def _has_something_to_say(driver: psycopg.Connection[Any]) -> bool:
    if driver.closed:
        return True
    waiting = select.poll()
    waiting.register(driver.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


@contextmanager
def translated() -> Iterator[None]:
    """Turns what a restart, a cut connection, a full pool or a deadlock raises into one refusal."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as away:
        if isinstance(away.orig if isinstance(away, exc.DBAPIError) else None, errors.ProgramLimitExceeded):
            raise  # A value too large for an index is no outage, whatever its class says.
        raise _unavailable(away) from None
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise _unavailable(error) from None
        raise


def _unavailable(error: exc.SQLAlchemyError) -> TemporarilyUnavailable:
    """Leaves the driver's message behind: failures travel into Temporal, and its DETAIL may quote a row."""
    cause = error.orig if isinstance(error, exc.DBAPIError) else error
    log.warning("PostgreSQL is away: %s", type(cause).__name__)
    return TemporarilyUnavailable()
