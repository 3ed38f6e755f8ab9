"""Making, upgrading and refusing databases."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from schemas.extra_field import ExtraField
from schemas.records import JobState
from schemas.tables import metadata
from tests.support.commands import Catalog
from tests.support.ledgers import PLACES, postgres_url
from workers.adapters.ledger import SqlLedger, open_ledger, upgrade_ledger
from workers.adapters.ledger.database import Database
from workers.adapters.ledger.revision import HEAD, alembic_config, upgrade
from workers.errors import ConfigurationError, TransientError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_the_fast_path_knows_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == HEAD


@pytest.mark.parametrize("place", [place for place in PLACES if place != "memory"])
def test_migrations_make_exactly_the_tables(place: str, path: Path) -> None:
    url = postgres_url() if place == "postgres" else f"sqlite:///{path}"
    upgrade_ledger(url)
    upgrade_ledger(url)
    database = Database(url)
    with database.read() as tx:
        context = MigrationContext.configure(tx, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_migrations_and_metadata_write_the_same_sql(path: Path) -> None:
    """What Alembic's comparison leaves out: partial indexes, clustering, checks and cascades."""
    open_ledger(f"sqlite:///{path}").close()
    statements = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    migrated = {name: normal(sql) for name, sql in query(path, statements) if name != "alembic_version"}
    direct = Database("sqlite://")
    with direct.write() as tx:
        metadata.create_all(tx)
        made = {name: normal(sql) for name, sql in tx.execute(text(statements))}
    direct.close()
    assert migrated == made


def normal(sql: str) -> str:
    return " ".join(sql.split())


def test_keys_are_ordered_by_bytes_on_postgres() -> None:
    database = Database(postgres_url())
    ordered = (
        "SELECT collation_name FROM information_schema.columns WHERE column_name = 'key' AND table_schema = 'public'"
    )
    with database.read() as tx:
        found = tx.execute(text(f"{ordered} AND table_name <> 'manifest_problems'")).scalars().all()
    database.close()
    assert found
    assert set(found) == {"C"}


def test_a_file_of_an_older_release_is_upgraded_on_opening(path: Path) -> None:
    old = Database(f"sqlite:///{path}")
    upgrade(old, to="0001")
    with old.write() as tx:
        tx.execute(text("INSERT INTO catalogs VALUES ('shop', 'file:///a', '[\"fit\"]', NULL, 0, 1.0)"))
    old.close()
    ledger = open_ledger(f"sqlite:///{path}")
    assert ledger.catalog("shop").extra_fields == (ExtraField("fit"),)
    assert ledger.stage_manifest("shop", "s", []) == []
    ledger.close()
    assert query(path, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_numbers_of_generations_go_on_after_an_upgrade(path: Path) -> None:
    old = Database(f"sqlite:///{path}")
    upgrade(old, to="0002")
    with old.write() as tx:
        tx.execute(text("INSERT INTO catalogs VALUES ('shop', 'file:///a', '[]', NULL, 4, 1.0)"))
        tx.execute(text("INSERT INTO catalogs VALUES ('bare', 'file:///b', '[]', NULL, 0, 1.0)"))
    old.close()
    ledger = open_ledger(f"sqlite:///{path}")
    assert [ledger.add_generation(name, model_digest="m").number for name in ("shop", "bare")] == [5, 1]
    ledger.close()


def test_a_job_of_an_older_release_goes_on_after_an_upgrade(path: Path) -> None:
    old = Database(f"sqlite:///{path}")
    upgrade(old, to="0003")
    with old.write() as tx:
        tx.execute(text("INSERT INTO catalogs VALUES ('shop', 'file:///a', '[]', 1, 1.0)"))
        tx.execute(text("INSERT INTO generations VALUES ('shop', 1, 'shop--g1', 'm', 1.0)"))
        columns = tx.execute(text("SELECT name, type FROM pragma_table_info('jobs')")).all()
        given = {"id": "'" + "a" * 32 + "'", "catalog": "'shop'", "kind": "'sync'", "state": "'running'"}
        given |= dict.fromkeys(("include", "exclude", "stages"), "'[]'") | {"idempotency_key": "'k'"}
        values = ", ".join(given.get(name, "NULL" if name in _EMPTY else "1") for name, _ in columns)
        tx.execute(text(f"INSERT INTO jobs VALUES ({values})"))  # noqa: S608 - constants of this test
        batch = "INSERT INTO batches (id, job_id, ordinal, state, losses) VALUES ('b', :job, 0, 'ready', 0)"
        tx.execute(text(batch), {"job": "a" * 32})
    old.close()
    ledger = open_ledger(f"sqlite:///{path}")
    (job,) = ledger.open_jobs()
    assert (job.priority, job.reasons, job.tripped, job.options.reasons) == (0, (), (), ())
    assert ledger.activity(job.id).oldest_pending_s is not None
    assert ledger.pause_job(job.id, error="why").state is JobState.PAUSED
    ledger.close()


_EMPTY = ("scan_token", "scan_expires_at", "scan_cursor", "deletes_cursor", "error", "finished_at", "confirmed_deletes")


def test_opening_a_current_file_imports_no_alembic_and_changes_nothing(path: Path) -> None:
    open_ledger(f"sqlite:///{path}").close()
    before = path.read_bytes()
    code = (
        "import sys; from workers.adapters.ledger import open_ledger; "
        f"open_ledger('sqlite:///{path}').close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert path.read_bytes() == before


def test_a_file_of_a_newer_release_is_refused_and_left_alone(path: Path) -> None:
    open_ledger(f"sqlite:///{path}").close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(ConfigurationError, match=r"newer version of this program \(revision 9999.*upgrade the program"):
        open_ledger(f"sqlite:///{path}")
    assert query(path, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_postgres_without_current_tables_is_refused() -> None:
    admin = Database(postgres_url())
    with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE IF EXISTS untouched"))
        connection.execute(text("CREATE DATABASE untouched"))
    url = admin.url.set(database="untouched").render_as_string(hide_password=False)
    admin.close()
    with pytest.raises(ConfigurationError, match=f"has revision none, this program needs {HEAD}: stop the workers"):
        SqlLedger(url)
    upgrade_ledger(url)
    SqlLedger(url).close()


def test_the_embedded_ledger_is_durable_and_checked(path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{path}")
    with ledger._database.read() as tx:
        pragmas = {
            name: tx.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    ledger.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "the ledger's URL is none: write sqlite:///FILE or postgresql://HOST/NAME"),
        ("mysql://host/db", "the ledger runs on sqlite and postgresql, not on 'mysql'"),
        ("sqlite:////no/such/folder/ledger.db", r"cannot be opened: does its folder exist"),
    ],
)
def test_a_url_that_is_not_fit_says_why(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_ledger(url)


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_bytes(b"a shopping list, not a ledger" * 100)
    with pytest.raises(ConfigurationError, match="is no SQLite database: move the file away"):
        open_ledger(f"sqlite:///{path}")
    assert path.read_bytes() == b"a shopping list, not a ledger" * 100


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_cannot_be_written_says_so(path: Path) -> None:
    open_ledger(f"sqlite:///{path}").close()
    path.chmod(0o444)
    ledger = open_ledger(f"sqlite:///{path}")
    with pytest.raises(ConfigurationError, match="give this user write access"):
        ledger.ensure_catalog("shop", source_url="file:///a")
    ledger.close()


def test_a_server_that_does_not_answer_is_transient_and_keeps_its_password() -> None:
    with pytest.raises(TransientError, match="does not answer") as caught:
        SqlLedger("postgresql://somebody:secret@127.0.0.1:9/nothing")
    assert "secret" not in str(caught.value)


def test_the_command_says_from_where_to_where(tmp_path: Path) -> None:
    environment = {"CATALOG_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}"}
    catalog = Catalog(home=tmp_path / "home", bundle=tmp_path, environment=environment)
    first = catalog.json("upgrade")
    assert (first["from"], first["to"]) == (None, HEAD)
    assert catalog.run("upgrade").out.endswith(f"revision {HEAD}, nothing to do\n")


def test_a_postgres_that_is_behind_is_named_with_its_cure() -> None:
    url = postgres_url()
    database = Database(url)
    with database.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '0004'"))
    try:
        with pytest.raises(ConfigurationError, match=r"has revision 0004, .* stop the workers, then: catalog upgrade"):
            open_ledger(url)
    finally:
        with database.write() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD})
        database.close()
