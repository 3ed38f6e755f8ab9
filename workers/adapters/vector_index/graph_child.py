"""The process that builds the approximate index (HNSW) on a copy of a shard, where it holds up nobody.

python -m workers.adapters.vector_index.graph_child SHARD_FOLDER DIMENSION
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

import qdrant_edge as edge

from schemas.collection import VECTOR_NAME

_PR_SET_PDEATHSIG: Final = 1
"""From <linux/prctl.h>."""
_NICENESS: Final = 10
"""Searching and embedding come first: beside a process that wants the same core this one gets a tenth of it."""
_EDGES: Final = 16
_EF_CONSTRUCT: Final = 100
"""Qdrant's defaults: edges a node and candidates while building."""
_SEGMENTS: Final = 2
"""Segments to end up with; Qdrant's own choice grows with the number of cores, and every one is searched."""
_QUANTILE: Final = 0.99
"""Share of the components that int8 spans; what lies outside is clipped. Qdrant's recommendation."""
_INDEX_ABOVE_KB: Final = 1
"""Cover every point: whether it is worth while was decided before this process was started."""


def main() -> int:
    """Build on the shard named on the command line and flush it; 0 when it is complete.

    Where a filter leaves at most EXACT_POINTS, they are compared one by one, so that its recall is perfect: with
    Qdrant's default of 10 MB of vectors a filter on 5 % of 100,000 found 0.946 of the ten nearest.
    """
    _end_with_parent()
    os.nice(_NICENESS)
    path, dimension, exact_points = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    config = edge.EdgeConfig(
        vectors={VECTOR_NAME: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)},
        hnsw_config=edge.HnswIndexConfig(
            m=_EDGES, ef_construct=_EF_CONSTRUCT, full_scan_threshold=max(1, exact_points * dimension * 4 // 1024)
        ),
        # The walk reads a quarter of the bytes; a search compares what it has found again, as it was written. Read page by
        # page ("cold"): read ahead, a shard of 100,000 points opened in 1.3 s instead of 0.3, while everybody waits.
        quantization_config=edge.ScalarQuantizationConfig(
            type=edge.ScalarType.Int8, quantile=_QUANTILE, memory=edge.Memory.Cold
        ),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=_INDEX_ABOVE_KB, default_segment_number=_SEGMENTS),
    )
    shard = edge.EdgeShard.load(path, config)
    shard.optimize()
    shard.flush()
    shard.close()
    return 0


def _end_with_parent() -> None:
    """Have Linux kill this process when the owner dies: its successor removes the copy."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (AttributeError, OSError):
        return  # not Linux: the copy disappears under the process, which then fails by itself


if __name__ == "__main__":
    sys.exit(main())
