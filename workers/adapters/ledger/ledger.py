"""The ledger as one adapter: its parts on one database."""

from __future__ import annotations

from workers.adapters.ledger.api_keys import ApiKeysPart
from workers.adapters.ledger.batches import BatchesPart
from workers.adapters.ledger.catalogs import CatalogsPart
from workers.adapters.ledger.database import Database
from workers.adapters.ledger.fleet import FleetPart
from workers.adapters.ledger.items import ItemsPart
from workers.adapters.ledger.jobs import JobsPart
from workers.adapters.ledger.keys import KeysPart
from workers.adapters.ledger.losses import LossesPart
from workers.adapters.ledger.manifests import ManifestsPart
from workers.adapters.ledger.reports import ReportsPart
from workers.adapters.ledger.revision import Upgraded, prepare, upgrade
from workers.adapters.ledger.scans import ScansPart
from workers.adapters.ledger.schedules import SchedulesPart


class SqlLedger(
    CatalogsPart,
    JobsPart,
    ReportsPart,
    ScansPart,
    BatchesPart,
    LossesPart,
    ItemsPart,
    ManifestsPart,
    KeysPart,
    FleetPart,
    SchedulesPart,
    ApiKeysPart,
):
    """The ledger on SQL: `sqlite:///FILE`, `postgresql://HOST/NAME`, or `sqlite://`, which lives in memory as long as
    this object (the twin for tests: the same statements, another place).

    Thread-safe. Any number of processes may open the same database; none may use one opened before a fork.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = 10.0) -> None:
        """Open the ledger. An embedded one is made or brought up to date on the way.

        Args:
            url: where the database is.
            busy_timeout_s: how long a write waits for other writers before it is a `TransientError` (SQLite).

        Raises:
            ConfigurationError: the URL or the database is not fit: the text says what to do.
            TransientError: the database does not answer.
        """
        super().__init__(Database(url, busy_timeout_s=busy_timeout_s))
        try:
            prepare(self._database)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release connections; closing twice is harmless."""
        self._database.close()


def open_ledger(url: str) -> SqlLedger:
    """The ledger at a URL; see `SqlLedger`."""
    return SqlLedger(url)


def upgrade_ledger(url: str) -> Upgraded:
    """Make or upgrade the tables of a database; what Postgres needs once for every release, with the workers stopped."""
    database = Database(url)
    try:
        return upgrade(database)
    finally:
        database.close()
