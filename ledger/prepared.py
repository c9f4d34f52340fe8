"""Statements that never change: put into words once, and carried out by the driver itself (decision 50)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import BindParameter, ClauseElement, Connection, exc, make_url
from sqlalchemy.sql.visitors import replacement_traverse

_DIALECT = make_url("postgresql+psycopg://").get_dialect()()

_CURSOR = "cursor of prepared statements"

Row = Mapping[str, Any]
"""One row by the names of its columns."""


@dataclass(frozen=True)
class Prepared:
    """One statement with its parameters by name; PostgreSQL parses and plans it once for each connection.

    It runs in the transaction that its ``Connection`` has open, and fails with SQLAlchemy's errors, so that nobody
    has to know which way a statement went. Parameters reach the driver as they are: JSON is given as text.
    """

    sql: str

    @classmethod
    def of(cls, statement: ClauseElement) -> Prepared:
        """What SQLAlchemy would send for the statement, compiled at import instead of at each call.

        Values that stand in the statement are written out and only its named parameters stay: a partial index serves
        a plan that is made for any parameters only where the words of its condition are to be read.
        """
        written_out = cast("ClauseElement", replacement_traverse(statement, {}, _written_out))
        compiled = written_out.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        return cls(str(compiled))

    def all(self, connection: Connection, **parameters: object) -> list[dict[str, Any]]:
        """Every row of the answer."""
        return self._carried_out(connection, parameters).fetchall()

    def first(self, connection: Connection, **parameters: object) -> dict[str, Any] | None:
        """The first row of the answer, if there is one."""
        return self._carried_out(connection, parameters).fetchone()

    def one(self, connection: Connection, **parameters: object) -> dict[str, Any]:
        """The row of a statement that always has one."""
        row = self.first(connection, **parameters)
        assert row is not None, "the statement has a row whatever its parameters are"
        return row

    def run(self, connection: Connection, **parameters: object) -> None:
        """For a statement that answers with no rows."""
        self._carried_out(connection, parameters)

    def _carried_out(self, connection: Connection, parameters: dict[str, object]) -> psycopg.Cursor[dict[str, Any]]:
        # One cursor for each connection: it keeps what it learnt of the types that PostgreSQL answers with.
        cursor = connection.info.get(_CURSOR)
        if cursor is None:
            cursor = connection.info[_CURSOR] = driver_of(connection).cursor(row_factory=dict_row)
        try:
            return cast("psycopg.Cursor[dict[str, Any]]", cursor.execute(self.sql, parameters))
        except psycopg.Error as error:
            lost = cursor.connection.closed
            if lost:
                connection.invalidate(error)
            raise exc.DBAPIError.instance(
                self.sql, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=lost
            ) from error


def driver_of(connection: Connection) -> psycopg.Connection[Any]:
    """The driver's own connection, on which SQLAlchemy's transaction is open."""
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def _written_out(element: Any, **_: object) -> Any:
    """In place of a value the same value as a literal. What was left open stays open, and has no value yet."""
    if not isinstance(element, BindParameter):
        return None
    return BindParameter(element.key, None, element.type) if element.required else element.render_literal_execute()
