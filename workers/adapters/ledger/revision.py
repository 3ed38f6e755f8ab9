"""Which revision of the tables a database has, and how it is brought up to date.

Alembic takes 0.4 s to import, so a database that is current is recognised by one SELECT, without it.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, text

from schemas.tables import metadata
from workers.adapters.ledger.database import Database
from workers.adapters.ledger.failures import translated
from workers.errors import ConfigurationError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0006"
"""The newest revision in `migrations/versions`."""
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_ADVISORY_LOCK: Final = 0x636174616C6F67
"""`catalog` in ASCII: one upgrade of a Postgres database at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Upgraded:
    """What an upgrade of the tables came to."""

    where: str
    """The database's URL without its password."""
    before: str | None
    """The revision it had; None: it was empty."""
    after: str


def prepare(database: Database) -> None:
    """Make sure that the tables are those this program knows. An embedded database is upgraded on the spot.

    Raises:
        ConfigurationError: a newer program has written it, it is no ledger, or (Postgres) it is out of date.
        TransientError: the database does not answer.
    """
    if database.in_memory:
        with database.write() as tx:
            metadata.create_all(tx)
        return
    if database.is_sqlite:
        _enter_wal(database)
    with database.read() as tx:
        found = _found(tx)
    if found == HEAD:
        return
    if not database.is_sqlite:
        _refuse_unknown(found, database)
        raise ConfigurationError(
            f"the ledger {database.where} has revision {found or 'none'}, this program needs {HEAD}: "
            f"stop the workers, then: catalog upgrade"
        )
    upgrade(database)


def upgrade(database: Database, *, to: str = "head") -> Upgraded:
    """Bring the tables to a revision; two processes at once do it once, a current database is left alone."""
    from alembic import command

    with database.write() as tx:
        if not database.is_sqlite:
            tx.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _ADVISORY_LOCK})
        before = _found(tx)
        _refuse_unknown(before, database)
        config = alembic_config()
        config.attributes["connection"] = tx
        command.upgrade(config, to)
        return Upgraded(where=database.where, before=before, after=_found(tx) or "none")


def alembic_config() -> Config:
    """Alembic's configuration, made of nothing but the place of the migrations."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _found(tx: Connection) -> str | None:
    """The revision the database says it has; None for an empty one."""
    if not tx.dialect.has_table(tx, "alembic_version"):
        return None
    found: str | None = tx.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def _refuse_unknown(found: str | None, database: Database) -> None:
    if found is None:
        return
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if found not in known:
        raise ConfigurationError(
            f"the ledger {database.where} was written by a newer version of this program (revision {found}, "
            f"known up to {HEAD}): upgrade the program, or choose another ledger"
        )


def _enter_wal(database: Database) -> None:
    """Switch to WAL. Unlike a transaction, the switch does not wait for others that open the file now: try again."""
    deadline = time.monotonic() + database.busy_timeout_s
    while True:
        with translated(database.where), database.engine.connect() as connection:
            driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            mode = _try_wal(driver, last_try=time.monotonic() > deadline)
        if mode == "wal":
            return
        if mode is not None:
            raise ConfigurationError(
                f"the ledger {database.where} cannot use SQLite's WAL mode ({mode}): put it on a local disk"
            )
        time.sleep(0.02)


def _try_wal(connection: sqlite3.Connection, *, last_try: bool) -> str | None:
    """The journal's mode now, or None while another process is in the way."""
    try:
        return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
    except sqlite3.OperationalError as error:
        if last_try or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return None
