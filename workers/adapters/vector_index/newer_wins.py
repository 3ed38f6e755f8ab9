"""Which writes apply: a write carries a version and never disturbs a higher one. Pure functions, used by every engine.

A write of an equal version applies again, so that repeating a write after a lost acknowledgement is harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.payload import PayloadChange, Tombstone
from workers.adapters.vector_index.validation import Row


def winning_rows(rows: Sequence[Row], stored: Mapping[str, int]) -> list[Row]:
    """At most one row an id, the last of its highest version, unless `stored` (id to version) has a higher one."""
    best: dict[str, Row] = {}
    for row in rows:
        if row.version >= stored.get(row.id, row.version) and row.version >= best.get(row.id, row).version:
            best[row.id] = row
    return list(best.values())


def changed_payloads(
    changes: Sequence[PayloadChange], stored: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The new payload of every point that a change applies to, changes taken in their order; unknown ids are left out."""
    changed: dict[str, dict[str, Any]] = {}
    for change in changes:
        current = changed.get(change.id) or stored.get(change.id)
        if current is None or current["version"] > change.version:
            continue
        merged = {**current, **change.fields, "version": change.version}
        changed[change.id] = {name: _plain(value) for name, value in merged.items() if value is not None}
    return changed


def deletable(tombstones: Sequence[Tombstone], stored: Mapping[str, int]) -> list[str]:
    """Ids among `stored` (id to version) that some tombstone of at least that version names."""
    return list({t.id: None for t in tombstones if t.id in stored and t.version >= stored[t.id]})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
