"""The part of the ledger that is about single keys: what events and people asked to look at, and the jobs made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from schemas.payload import JsonValue
from schemas.records import AskedKey, Job, JobOptions, LedgerRow, ManifestRow

MAX_JOB_KEYS: Final = 5000
"""Keys of one job: planned in some seconds, so that what comes after them waits no longer."""


class Inbox(Protocol):
    """Keys that wait to be looked at, coalesced by catalog and key, and the jobs of those that are being looked at.

    A job of keys fills one generation. While a reindex fills another one, each job has a twin there.
    """

    def post(self, catalog: str, asked: Sequence[AskedKey]) -> None:
        """Put keys into the inbox; one that waits already asks for what either asked for. NotFoundError: no such catalog."""
        ...

    def inbox_due(self, *, older_than_s: float) -> Sequence[str]:
        """Catalogs whose oldest waiting key has waited at least so long, by name."""
        ...

    def take_inbox(self, catalog: str, *, limit: int = MAX_JOB_KEYS) -> Sequence[Job]:
        """Turn the keys that wait longest into jobs, in one transaction: one for each generation concerned, that of the
        active one first. Their globs are those of the catalog's latest sync. None when nothing waits, or when the catalog
        has never been indexed: then the keys go on waiting.
        """
        ...

    def create_keys_jobs(
        self, catalog: str, asked: Sequence[AskedKey], *, options: JobOptions, idempotency_key: str
    ) -> Sequence[Job]:
        """Jobs of at most `MAX_JOB_KEYS` keys, as by `take_inbox`; the same idempotency key again answers the same jobs.

        Raises:
            NotFoundError: no such catalog, or it has never been indexed.
            ContractError: more keys than that.
        """
        ...

    def job_keys(self, job_id: str, *, after: str | None = None, limit: int = 1000) -> Sequence[AskedKey]:
        """What an open job was asked to look at, by key in byte order."""
        ...

    def rows_of(self, catalog: str, generation: int, keys: Sequence[str], *, job_id: str) -> Sequence[LedgerRow]:
        """As `rows`, for these keys, in byte order, `in_hand` filled; also of keys that only another generation holds and of
        buried ones.
        """
        ...

    def manifest_rows_of(self, catalog: str, keys: Sequence[str]) -> Sequence[ManifestRow]:
        """The adopted manifest's rows of these keys, in byte order."""
        ...

    def product_keys(
        self, catalog: str, product_id: str, *, after: str | None = None, limit: int = 5000
    ) -> Sequence[str]:
        """Keys whose manifest row names this product, in byte order."""
        ...

    def change_manifest(
        self, catalog: str, changes: Mapping[str, Mapping[str, JsonValue]], *, idempotency_key: str
    ) -> Sequence[Job]:
        """Change fields of manifest rows (None removes a field; a row that is missing is made) and make the jobs that bring
        the payloads in line, in one transaction. An idempotency key that made jobs before changes nothing.

        A row that was changed stays so until a manifest file says something else of its key than the last one did; a row
        that no file has ever had stays until it is changed again.

        Raises:
            NotFoundError, ContractError: as `create_keys_jobs`.
        """
        ...
