"""A real Qdrant server to test on, where CATALOG_TEST_QDRANT_URL (and CATALOG_TEST_QDRANT_API_KEY) name one."""

from __future__ import annotations

import os

import pytest

from workers.adapters.vector_index.qdrant import QdrantIndex
from workers.adapters.vector_index.qdrant_connection import ServerOptions
from workers.adapters.vector_index.qdrant_layout import LayoutOptions

URL_VARIABLE = "CATALOG_TEST_QDRANT_URL"
KEY_VARIABLE = "CATALOG_TEST_QDRANT_API_KEY"
GRPC_VARIABLE = "CATALOG_TEST_QDRANT_GRPC"


def real_qdrant(layout: LayoutOptions | None = None) -> QdrantIndex:
    """The index on that server, over gRPC where CATALOG_TEST_QDRANT_GRPC is set; without one the test is skipped."""
    url = os.environ.get(URL_VARIABLE)
    if not url:
        pytest.skip(f"no Qdrant server: set {URL_VARIABLE}")
    server = ServerOptions(
        api_key=os.environ.get(KEY_VARIABLE) or None, allow_http=True, grpc=bool(os.environ.get(GRPC_VARIABLE))
    )
    return QdrantIndex(url, server=server, layout=layout)
