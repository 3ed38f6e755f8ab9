"""The ledger on SQL: SQLite by default, Postgres in production, SQLite in memory as the twin for tests."""

from workers.adapters.ledger.ledger import SqlLedger, open_ledger, upgrade_ledger

__all__ = ["SqlLedger", "open_ledger", "upgrade_ledger"]
