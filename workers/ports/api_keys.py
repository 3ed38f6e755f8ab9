"""The ledger's API keys: made and revoked by the command line, looked up by servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schemas.access import ApiKey, Scope


class ApiKeys(Protocol):
    """Keys by id. A revoked key stays, so that whoever looks sees that there was one."""

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
        """Keep a new key, good for so many seconds from now by the database's clock, or for ever (None).

        Raises:
            ContractError: a key that is not revoked has the name, or the id.
        """
        ...

    def api_keys(self) -> Sequence[ApiKey]:
        """All of them, revoked and expired ones included: oldest first."""
        ...

    def revoke_api_key(self, key: str) -> ApiKey:
        """Let a key, by id or by name, open nothing any more; one that is revoked answers as it is. NotFoundError for an
        unknown one.
        """
        ...

    def note_api_key_use(self, key_id: str, *, every_s: float) -> None:
        """Write down that a key was just used, unless that was done within `every_s`; an unknown id is harmless."""
        ...
