"""One database: its connections, its transactions, and the few things its two dialects spell differently.

SQLite, the embedded default. Writing transactions begin IMMEDIATE, so that they wait for their turn at the start and
never fail in the middle. WAL lets readers go on meanwhile. `synchronous=FULL` (a sync a commit): NORMAL would survive
kill -9 as well, but a power cut could take back the last commits and with them version numbers that points of the
index already carry; drawn again, such a number would lose against the point it should replace.

Postgres: READ COMMITTED; whoever writes locks the job's row first, then batches, work, items and placements in key
order, so that two writers wait for each other instead of deadlocking.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final, TypeVar, cast

import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Select,
    StaticPool,
    Table,
    Text,
    any_,
    bindparam,
    column,
    create_engine,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from workers.adapters.ledger.failures import translated
from workers.errors import ConfigurationError, TransientError

SLICE: Final = 500
"""Values in one IN list. SQLite takes 32,766 parameters, but a statement of another length is parsed again."""
_OLDEST_SQLITE: Final = (3, 35)
"""The first with RETURNING (2021)."""
_WRITES: Final = "catalog_writes"
T = TypeVar("T")


class clock(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """Now by the database's clock: seconds since 1970."""

    type = Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _sqlite_clock(element: clock, compiler: SQLCompiler, **options: Any) -> str:
    # Milliseconds; unixepoch('subsec') needs SQLite 3.42, which Python 3.11 on Debian 12 does not have.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(clock, "postgresql")
def _postgres_clock(element: clock, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


def slices(values: Sequence[T], size: int = SLICE) -> Iterator[Sequence[T]]:
    """The values in stretches of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


class Database:
    """Connections to one database. Thread-safe; open it after a fork, not before."""

    def __init__(self, url: str, *, busy_timeout_s: float = 10.0) -> None:
        """Open it without looking at its tables.

        Raises:
            ConfigurationError: the URL is none, or its database or driver is not supported.
        """
        self.url = _parse(url)
        self.where = self.url.render_as_string(hide_password=True)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.in_memory = self.is_sqlite and self.url.database in (None, "", ":memory:")
        self.busy_timeout_s = busy_timeout_s
        self.engine = self._sqlite_engine() if self.is_sqlite else self._postgres_engine()
        self._writer = self.engine.execution_options(**{_WRITES: True})
        self._turn = threading.Lock()
        # One process's threads queue here and not in SQLite's busy handler, which sleeps up to 0.1 s between tries.
        # The database in memory is one connection: its readers queue as well.

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads; on SQLite it sees one state of the database throughout."""
        turn = self._my_turn() if self.in_memory else nullcontext()
        with turn, translated(self.where), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: committed at the end, rolled back by any exception."""
        turn = self._my_turn() if self.is_sqlite else nullcontext()
        with turn, translated(self.where), self._writer.begin() as connection:
            yield connection

    def insert(self, table: Table) -> sqlite.Insert:
        """An INSERT with `on_conflict_do_nothing` and `on_conflict_do_update`, spelled alike in both dialects."""
        return sqlite.insert(table) if self.is_sqlite else cast(sqlite.Insert, postgresql.insert(table))

    def insert_rows(self, tx: Connection, statement: sqlite.Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert many rows that agree in their names and differ in their keys.

        On Postgres all of them are one statement with one parameter: a statement for each row costs it several times as
        much, and an array for each column costs this process as much as the insert itself.
        """
        if not rows:
            return
        if self.is_sqlite:
            tx.execute(statement, rows)
        else:
            tx.execute(statement.from_select(list(rows[0]), _listed(cast(Table, statement.table), rows)))

    def among(self, text: Column[str], values: Sequence[str]) -> ColumnElement[bool]:
        """Condition: a text column has one of the values. One array on Postgres, so that the statement stays the same."""
        if self.is_sqlite:
            return text.in_(values)
        # Without its collation, which the cast of a parameter cannot have.
        return text == any_(bindparam(None, [*values], type_=postgresql.ARRAY(Text()), unique=True))

    def close(self) -> None:
        """Close every connection; closing twice is harmless."""
        self.engine.dispose()

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=self.busy_timeout_s):
            raise TransientError(f"the ledger is busy: another thread holds it ({self.where})")
        try:
            yield
        finally:
            self._turn.release()

    def _sqlite_engine(self) -> Engine:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise ConfigurationError(f"this Python brings SQLite {sqlite3.sqlite_version}; at least 3.35 is needed")
        arguments = {"check_same_thread": False, "isolation_level": None, "timeout": self.busy_timeout_s}
        pool: dict[str, Any] = {"poolclass": StaticPool} if self.in_memory else {}
        engine = create_engine(
            self.url, connect_args=arguments, json_serializer=_dump, json_deserializer=orjson.loads, **pool
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _postgres_engine(self) -> Engine:
        try:
            return create_engine(
                self.url,
                connect_args={"connect_timeout": 5, "application_name": "catalog-indexer"},
                pool_pre_ping=True,
                json_serializer=_dump,
                json_deserializer=orjson.loads,
            )
        except ModuleNotFoundError as error:
            raise ConfigurationError("a ledger on Postgres needs the driver: pip install 'psycopg[binary]'") from error


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
        name = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:  # a port that is no number
        raise ConfigurationError("the ledger's URL is none: write sqlite:///FILE or postgresql://HOST/NAME") from error
    if name == "sqlite":
        return url.set(drivername="sqlite+pysqlite")
    if name in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise ConfigurationError(f"the ledger runs on sqlite and postgresql, not on {name!r}")


def _listed(table: Table, rows: Sequence[Mapping[str, Any]]) -> Select[Any]:
    """The rows as Postgres reads them out of one JSON text."""
    kinds = {name: table.c[name].type for name in rows[0]}
    columns = [column(name, Text() if isinstance(kind, Text) else kind) for name, kind in kinds.items()]
    sent = literal(_dump(rows), Text()).cast(postgresql.JSON)
    return select(*func.json_to_recordset(sent).table_valued(*columns, name="listed").render_derived(with_types=True).c)


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -16384")  # KiB for each connection: the inner pages of a million placements


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
