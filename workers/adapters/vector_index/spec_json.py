"""A collection's description as plain JSON: what the engines keep beside the data and what travels between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from schemas.collection import CollectionSpec, PayloadIndex
from workers.errors import ContractError


def spec_to_json(spec: CollectionSpec) -> dict[str, Any]:
    """JSON object that `spec_from_json` reads."""
    return asdict(spec)


def spec_from_json(data: Mapping[str, Any]) -> CollectionSpec:
    """Inverse of `spec_to_json`.

    Raises:
        ContractError: a field is missing, unknown or of the wrong kind.
    """
    try:
        extra = tuple(PayloadIndex(field=str(index["field"]), kind=index["kind"]) for index in data["extra_indexes"])
        return CollectionSpec(
            name=str(data["name"]),
            catalog=str(data["catalog"]),
            dimension=int(data["dimension"]),
            model_digest=str(data["model_digest"]),
            extra_indexes=extra,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError(f"a collection's description cannot be read: {error!r}") from error
