"""What stands beside a vector, and the values that write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

JsonScalar = str | int | float | bool | None
JsonValue = JsonScalar | list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """The payload of one point. None means unknown; such fields are left out on the wire."""

    catalog: str
    key: str
    etag: str
    content_digest: str
    model_digest: str
    version: int
    job: str
    indexed_at: str
    """UTC, ISO 8601."""
    category: str | None
    """The category filters use: declared if the taxonomy maps it, else predicted."""
    category_declared: str | None = None
    """As the manifest spells it."""
    category_predicted: str | None = None
    category_confidence: float | None = None
    attributes: tuple[str, ...] | None = None
    box: tuple[float, float, float, float] | None = None
    """x1, y1, x2, y2 as shares of the image's width and height."""
    width: int | None = None
    height: int | None = None
    """Pixels of the original after its orientation was applied."""
    product_id: str | None = None
    brand: str | None = None
    price: float | None = None
    currency: str | None = None
    colour: str | None = None
    in_stock: bool | None = None
    title: str | None = None
    url: str | None = None
    extra: Mapping[str, JsonValue] | None = None
    """Manifest columns that the catalog's configuration names; flat on the wire."""

    def to_json(self) -> dict[str, Any]:
        """Flat JSON object as the index stores it."""
        out: dict[str, Any] = {}
        for name in _NAMES:
            value = getattr(self, name)
            if value is not None:
                out[name] = list(value) if isinstance(value, tuple) else value
        out.update(self.extra or {})
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Payload:
        """Inverse of `to_json`; unknown fields become `extra`.

        Raises:
            TypeError: a required field is missing.
        """
        if not data.keys() >= _REQUIRED:
            raise TypeError(f"a payload needs {', '.join(sorted(_REQUIRED - data.keys()))}")
        # Field by field past the constructor of a frozen class: 6 µs instead of 15, for every hit, in two processes.
        payload = cls.__new__(cls)
        for name, put in _FIELDS:
            put(payload, data.get(name))
        for name, put in _SEQUENCES:
            if (value := data.get(name)) is not None:
                put(payload, tuple(value))
        extra = None if data.keys() <= _NAME_SET else {n: value for n, value in data.items() if n not in _NAME_SET}
        _PUT_EXTRA(payload, extra)
        return payload


_NAMES: Final = tuple(f.name for f in fields(Payload) if f.name != "extra")
_NAME_SET: Final = frozenset(_NAMES)
_REQUIRED: Final = frozenset(f.name for f in fields(Payload) if f.default is MISSING and f.name != "category")
_PUT_EXTRA: Final = vars(Payload)["extra"].__set__
_FIELDS: Final = tuple((name, vars(Payload)[name].__set__) for name in _NAMES)
_SEQUENCES: Final = tuple((name, put) for name, put in _FIELDS if name in ("attributes", "box"))

MANIFEST_FIELDS: Final = ("product_id", "brand", "price", "currency", "colour", "in_stock", "title", "url")
"""Payload fields a manifest row fills one to one; its `category` becomes `category_declared` (and `category`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One image ready for the index."""

    id: str
    """UUID of `schemas.ids.point_id(catalog, key)`."""
    version: int
    vector: NDArray[np.float32]
    """(D,), L2-normalised."""
    payload: Payload


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadChange:
    """New values of some payload fields of one point; None removes a field."""

    id: str
    version: int
    """Becomes the point's version."""
    fields: Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tombstone:
    """The order to delete a point, valid over writes of a lower or equal version."""

    id: str
    version: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PointRecord:
    """A point as read back. `vector` only where it was asked for."""

    id: str
    payload: Payload
    vector: NDArray[np.float32] | None = None
