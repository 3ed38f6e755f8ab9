"""How a collection is laid out on a Qdrant server: graph, memory, quantisation, replicas, strict mode, payload indexes.

By the bytes of all vectors as float32, expected points x dimension x 4:

| | vectors | quantised copy for the walk | graph | payload |
|---|---|---|---|---|
| up to 512 MiB | memory | none | memory | memory |
| up to 16 GiB | disk | int8, always in memory | memory | disk |
| above | disk | 4 bits (TurboQuant), always in memory | disk | disk |

A search over a quantised copy takes `OVERSAMPLING` times as many candidates and scores them again with the vectors
themselves: measured on 100,000 x 512, int8 then finds 0.998 of the ten nearest and 4 bits 0.999. "Disk" is a mapped
file, so what memory is left still serves it. The older flags (`on_disk`, `always_ram`) are sent, as servers before 1.19
do not know `memory`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from qdrant_client import models

from schemas.collection import VECTOR_NAME, CollectionSpec, PayloadIndex
from workers.adapters.vector_index.validation import MAX_LIMIT

IN_MEMORY_BYTES: Final = 512 * 1024**2
"""250,000 vectors of 512 numbers: as much as any server spares."""
INT8_BYTES: Final = 16 * 1024**3
"""8 million vectors of 512 numbers, whose int8 copy takes 4 GiB; 4 bits halve that."""
OVERSAMPLING: Final = 3.0

BATCH_POINTS: Final = 128
"""Points of one request: bulk loading is fastest with 64 to 256 of them."""
MAX_QUERY_LIMIT: Final = 2 * MAX_LIMIT
"""Offset and limit of a grouped search together; scrolling asks for one more than MAX_LIMIT."""
MAX_CONDITIONS: Final = 256
MAX_CONDITION_VALUES: Final = 2 * MAX_LIMIT
"""Groups that a grouped search leaves out; ids of one guarded write are at most BATCH_POINTS."""

_EDGES: Final = 16
_EF_CONSTRUCT: Final = 100
"""Qdrant's defaults, and what the embedded engine was measured with."""
_EXACT_POINTS: Final = 20_000
"""Where a filter leaves fewer, they are compared one by one: with the default of 10 MB of vectors a filter on 5 % of
100,000 found only 0.946 of the ten nearest."""
_LOOK_UP_ONLY: Final = frozenset({"key", "version", "content_digest"})
"""Nobody searches the nearest under these: their index serves look-ups and guards, and needs no edges in the graph."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutOptions:
    """What the operator knows of the server and the catalogs."""

    expected_points: int = 1_000_000
    shards: int | None = None
    """Default: the server's own, one for each node."""
    replicas: int = 1
    write_consistency: int | None = None
    """Replicas that must have applied a write; default: most of them."""

    @property
    def acknowledging_replicas(self) -> int:
        """Replicas that must have applied a write."""
        return self.write_consistency or self.replicas // 2 + 1


def collection_arguments(spec: CollectionSpec, options: LayoutOptions, *, turbo: bool) -> dict[str, Any]:
    """What `create_collection` is given, beside name and metadata. `turbo`: the server has TurboQuant (1.18)."""
    size = options.expected_points * spec.dimension * 4
    small, large = size <= IN_MEMORY_BYTES, size > INT8_BYTES
    return {
        "vectors_config": {
            VECTOR_NAME: models.VectorParams(size=spec.dimension, distance=models.Distance.COSINE, on_disk=not small)
        },
        "hnsw_config": models.HnswConfigDiff(
            m=_EDGES,
            ef_construct=_EF_CONSTRUCT,
            full_scan_threshold=max(10, _EXACT_POINTS * spec.dimension * 4 // 1024),
            on_disk=large,
        ),
        "quantization_config": None if small else _quantisation(turbo=turbo and large),
        "on_disk_payload": not small,
        "shard_number": options.shards,
        "replication_factor": options.replicas,
        "write_consistency_factor": options.acknowledging_replicas,
        "strict_mode_config": strict_mode(),
    }


def _quantisation(*, turbo: bool) -> models.QuantizationConfig:
    if turbo:
        return models.TurboQuantization(
            turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4, always_ram=True)
        )
    return models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    )


def strict_mode() -> models.StrictModeConfig:
    """Refuse what would read a whole large collection, also from other clients; every request of ours stays within.

    Exact searches stay allowed, whatever the server's default: exact counts and facets are refused together with them.
    """
    return models.StrictModeConfig(
        enabled=True,
        unindexed_filtering_retrieve=False,
        unindexed_filtering_update=False,
        search_allow_exact=True,
        max_query_limit=MAX_QUERY_LIMIT,
        upsert_max_batchsize=2 * BATCH_POINTS,
        search_max_batchsize=64,
        search_max_hnsw_ef=1_024,
        search_max_oversampling=2 * OVERSAMPLING,
        filter_max_conditions=MAX_CONDITIONS,
        condition_max_size=MAX_CONDITION_VALUES,
    )


def index_parameters(index: PayloadIndex) -> models.PayloadSchemaParams:
    """A payload index. An integer's `lookup` and `range` are said: sent as an object, servers take them for off."""
    edges = index.field not in _LOOK_UP_ONLY
    match index.kind:
        case "keyword":
            return models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, enable_hnsw=edges)
        case "integer":
            return models.IntegerIndexParams(
                type=models.IntegerIndexType.INTEGER, lookup=True, range=True, enable_hnsw=edges
            )
        case "float":
            return models.FloatIndexParams(type=models.FloatIndexType.FLOAT, enable_hnsw=edges)
        case "bool":
            return models.BoolIndexParams(type=models.BoolIndexType.BOOL, enable_hnsw=edges)
        case "datetime":
            return models.DatetimeIndexParams(type=models.DatetimeIndexType.DATETIME, enable_hnsw=edges)


def search_parameters(*, exact: bool, conditions: int) -> models.SearchParams:
    """How the graph is walked.

    ACORN, which looks past neighbours that the filter refuses, is let in for several conditions at once: for one, the
    edges that a payload index adds to the graph serve better. The server takes it where few enough points pass.
    """
    if exact:
        return models.SearchParams(exact=True)
    return models.SearchParams(
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING),
        acorn=models.AcornSearchParams(enable=True) if conditions > 1 else None,
    )
