"""Requests and responses held against Qdrant's own OpenAPI document, where that is at hand."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

DOCUMENT = Path(
    os.environ.get("QDRANT_OPENAPI") or Path(__file__).parents[3] / "shared" / "data" / "qdrant-openapi.json"
)
LONG_LIST = 16
"""Longer lists of numbers are judged by their first few: every number for itself would take a second a batch."""


def is_at_hand() -> bool:
    return DOCUMENT.is_file()


def request_fault(template: str, method: str, body: Any) -> str | None:
    """What is wrong with a request's body; None when nothing is."""
    described = _operation(template, method).get("requestBody")
    if described is None:
        return None if body is None else "has a body where none is described"
    return _fault(template, method, "request", body)


def parameters_fault(template: str, method: str, given: dict[str, str]) -> str | None:
    """What is wrong with a request's query parameters; None when nothing is."""
    known = {p["name"] for p in _operation(template, method).get("parameters", []) if p["in"] == "query"}
    return f"has unknown parameters {sorted(set(given) - known)}" if set(given) - known else None


def response_fault(template: str, method: str, status: int, body: Any) -> str | None:
    """What is wrong with a response's body; None when nothing is."""
    return _fault(template, method, "200" if status == 200 else "4XX", body)


def _fault(template: str, method: str, part: str, body: Any) -> str | None:
    validator = _validator(template, method, part)
    if validator is None:
        return None
    error = best_match(validator.iter_errors(_shortened(body)))
    return None if error is None else f"{error.json_path}: {error.message[:400]}"


@functools.cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = _open_nulls(json.loads(DOCUMENT.read_text()))
    return document


def _operation(template: str, method: str) -> dict[str, Any]:
    operation: dict[str, Any] = _document()["paths"][template][method.lower()]
    return operation


@functools.cache
def _validator(template: str, method: str, part: str) -> Draft202012Validator | None:
    operation = _operation(template, method)
    content = operation["requestBody"] if part == "request" else operation["responses"].get(part)
    if content is None or "application/json" not in content.get("content", {}):
        return None
    schema = content["content"]["application/json"]["schema"]
    whole = {"allOf": [schema], "components": _document()["components"]}
    return Draft202012Validator(whole, format_checker=FormatChecker(formats=["uuid"]))


def _open_nulls(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` in JSON Schema's words, and objects closed to fields that they do not name."""
    if isinstance(node, list):
        return [_open_nulls(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node == {"nullable": True}:
        return {"enum": [None]}
    out = {name: _open_nulls(value) for name, value in node.items()}
    if out.get("type") == "object" and isinstance(out.get("properties"), dict):
        out.setdefault("additionalProperties", False)
    if out.pop("nullable", None) is True:
        if isinstance(out.get("type"), str):
            out["type"] = [out["type"], "null"]
        if "enum" in out:
            out["enum"] = [*out["enum"], None]
    return out


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(item) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > LONG_LIST and all(type(item) in (int, float) for item in value):
        return value[:2]
    return [_shortened(item) for item in value]
