"""API keys: one row a key, never the secret itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, insert, or_, select, update

from schemas.access import ApiKey, Scope
from schemas.tables import api_keys
from workers.adapters.ledger.database import clock
from workers.adapters.ledger.part import LedgerPart, moment
from workers.errors import ContractError, NotFoundError


class ApiKeysPart(LedgerPart):
    """Implements `workers.ports.api_keys.ApiKeys`."""

    def add_api_key(
        self,
        key_id: str,
        name: str,
        *,
        digest: str,
        scopes: Sequence[Scope],
        catalogs: Sequence[str] | None,
        valid_s: float | None,
    ) -> ApiKey:
        """Keep a new key; ContractError where a key that is not revoked has the name."""
        row: dict[str, Any] = {"id": key_id, "name": name, "digest": digest}
        row |= {"scopes": [scope.value for scope in scopes], "created_at": clock()}
        row |= {"all_catalogs": catalogs is None, "catalogs": sorted(set(catalogs or ()))}
        row |= {"expires_at": None if valid_s is None else clock() + valid_s}
        taken = or_(api_keys.c.id == key_id, (api_keys.c.name == name) & api_keys.c.revoked_at.is_(None))
        with self._database.write() as tx:
            if tx.execute(select(api_keys.c.id).where(taken)).first() is not None:
                raise ContractError(f"there is a key {name!r} already: revoke it first, or choose another name")
            tx.execute(insert(api_keys).values(**row))
            return _to_key(tx.execute(select(api_keys).where(api_keys.c.id == key_id)).one())

    def api_keys(self) -> Sequence[ApiKey]:
        """All of them, oldest first."""
        with self._database.read() as tx:
            return [_to_key(row) for row in tx.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id))]

    def revoke_api_key(self, key: str) -> ApiKey:
        """Let a key open nothing any more; of several keys of a name, the one that still does."""
        this = or_(api_keys.c.id == key, api_keys.c.name == key)
        newest = api_keys.c.created_at.desc()
        query = select(api_keys).where(this).order_by(api_keys.c.revoked_at.isnot(None), newest).limit(1)
        with self._database.write() as tx:
            found = tx.execute(query).one_or_none()
            if found is None:
                raise NotFoundError(f"there is no key {key!r}; see: catalog keys list")
            mine = api_keys.c.id == found.id
            tx.execute(update(api_keys).where(mine, api_keys.c.revoked_at.is_(None)).values(revoked_at=clock()))
            return _to_key(tx.execute(select(api_keys).where(mine)).one())

    def note_api_key_use(self, key_id: str, *, every_s: float) -> None:
        """Write down that a key was just used, unless that was done a moment ago."""
        stale = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < clock() - every_s)
        with self._database.write() as tx:
            tx.execute(update(api_keys).where(api_keys.c.id == key_id, stale).values(last_used_at=clock()))


def _to_key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        digest=row.digest,
        scopes=tuple(Scope(scope) for scope in row.scopes),
        catalogs=None if row.all_catalogs else tuple(row.catalogs),
        created_at=moment(row.created_at),
        expires_at=None if row.expires_at is None else moment(row.expires_at),
        revoked_at=None if row.revoked_at is None else moment(row.revoked_at),
        last_used_at=None if row.last_used_at is None else moment(row.last_used_at),
    )
