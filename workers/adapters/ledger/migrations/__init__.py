"""Alembic's migrations. A release that changes `schemas.tables` adds one here and raises `revision.HEAD`."""
