"""Answers as JSON, written at once: what a route has built is not validated a second time."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import JSONResponse

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


class Json(JSONResponse):
    """A JSON answer. Datetimes become ISO 8601, numpy's numbers numbers, dataclasses objects."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The body."""
        return orjson.dumps(content, option=_OPTIONS)
