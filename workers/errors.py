"""The closed tree of errors. Adapters translate what their drivers raise into it, at their edge.

    CatalogError
    |- ItemError           this image, for good: recorded with its reason, never retried by itself
    |- TransientError      a dependency is down or busy: back off with jitter and try again
    |- ContractError       a message, card, schema or request that can never work: loud, not retried
    |  |- PointsRefusedError these points can never be stored; each is named with the reason
    |  |- NotFoundError    the named catalog, job, key or collection does not exist
    |  |- ModelConflictError a vector was made by another model than the one that answers
    |  `- JobConflictError another job of the catalog is not final yet
    |- LeaseLostError      somebody else holds the batch or the scan now: stop, write nothing more
    `- ConfigurationError  refuse to start; names the setting and what to do

Authentication failures and programming errors are no TransientError: they stay loud.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.outcomes import Reason


class CatalogError(Exception):
    """Base of every error this system raises on purpose; its text is one clear line for a person."""


class ItemError(CatalogError):
    """This image cannot be indexed as it is. `reason` is for machines, `detail` for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class TransientError(CatalogError):
    """A dependency is unreachable, busy or slow. `retry_after_s` is what the dependency itself asked for."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ContractError(CatalogError):
    """A message, card, schema or request that can never work as it is."""


class PointsRefusedError(ContractError):
    """Points (or changes of points) that the vector index can never take: `refused` says why, by point id.

    The others of the same call may be stored already or not; repeating the call without the refused ones settles it.
    """

    def __init__(self, refused: Mapping[str, str]) -> None:
        first = next(iter(refused.values()))
        super().__init__(first if len(refused) == 1 else f"{first} (and {len(refused) - 1} more points)")
        self.refused = dict(refused)


class NotFoundError(ContractError):
    """The named catalog, job, item or collection does not exist."""


class ModelConflictError(ContractError):
    """A vector was made by another model than the one the catalog is bound to."""


class JobConflictError(ContractError):
    """Another job of the catalog is not final yet; `job_id` is its id."""

    def __init__(self, message: str, *, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class LeaseLostError(CatalogError):
    """The token no longer holds what it claimed; whoever holds it now goes on."""


class ConfigurationError(CatalogError):
    """A setting or the machine is not fit to start; the text names it and says what to do."""
