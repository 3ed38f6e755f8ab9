"""What a database driver raises, translated by table into the closed tree of errors.

Whatever no table names is passed on as it is: a wrong statement or a violated constraint is a programming error and
stays loud.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from workers.errors import CatalogError, ConfigurationError, ContractError, TransientError

_BUSY: Final = "the ledger is busy: another process holds it; trying again helps"
_SQLITE_TRANSIENT: Final = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_IOERR: "the disk of the ledger does not answer",
    sqlite3.SQLITE_FULL: "the disk of the ledger is full: free some space",
}
_SQLITE_UNFIT: Final = {
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: does its folder exist, and may this user write there?",
    sqlite3.SQLITE_READONLY: "cannot be written: give this user write access to the file and its folder",
    sqlite3.SQLITE_PERM: "cannot be opened: give this user access to it",
    sqlite3.SQLITE_NOTADB: "is no SQLite database: move the file away or choose another place",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore it from a backup, or move it away and ingest again",
}
"""Primary result codes (https://www.sqlite.org/rescode.html)."""

_POSTGRES_TRANSIENT: Final = ("08", "40", "53", "55P03", "57P")
_POSTGRES_UNFIT: Final = ("28", "3D000", "42501")
"""Beginnings of SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html): connection, rollback
(deadlock), resources, lock not available, shutdown; authorisation, no such database, no privilege."""


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise what the driver raises inside as a `CatalogError`; `where` names the database, without a password."""
    try:
        yield
    except PoolTimeoutError as error:
        raise TransientError(f"every connection to the ledger {where} is in use") from error
    except DBAPIError as error:
        meant = _translate(error, where)
        if meant is None:
            raise
        raise meant from error
    except sqlite3.Error as error:
        unfit = _translate_sqlite(error, where)
        if unfit is None:
            raise
        raise unfit from error


def _translate(error: DBAPIError, where: str) -> CatalogError | None:
    if isinstance(error, IntegrityError):
        return ContractError(f"the ledger refuses a row that contradicts the others: {error.orig}")
    if isinstance(error.orig, sqlite3.Error):
        return _translate_sqlite(error.orig, where)
    return _translate_postgres(error, where)


def _translate_sqlite(error: sqlite3.Error, where: str) -> CatalogError | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the primary code
    if code in _SQLITE_TRANSIENT:
        return TransientError(f"{_SQLITE_TRANSIENT[code]} ({where})")
    if code in _SQLITE_UNFIT:
        return ConfigurationError(f"the ledger {where} {_SQLITE_UNFIT[code]}")
    return None


def _translate_postgres(error: DBAPIError, where: str) -> CatalogError | None:
    state: str | None = getattr(error.orig, "sqlstate", None)
    text = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    if state is not None and state.startswith(_POSTGRES_UNFIT):
        return ConfigurationError(f"the ledger {where} refuses: {text}")
    lost = error.connection_invalidated or (state is None and type(error.orig).__name__ == "OperationalError")
    if lost or (state is not None and state.startswith(_POSTGRES_TRANSIENT)):
        return TransientError(f"the ledger {where} does not answer: {text}")
    return None
