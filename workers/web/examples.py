"""Request bodies for the OpenAPI document: their schemas in both spellings, and examples."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

SEARCHES: Final[dict[str, dict[str, Any]]] = {
    "liked": {
        "summary": "More like one image, less like another",
        "value": {
            "catalog": "shop",
            "likes": ["women/1042_front.jpg"],
            "dislikes": ["women/0007_front.jpg"],
            "limit": 12,
        },
    },
    "stored": {
        "summary": "Part of a stored picture, filtered and counted",
        "value": {
            "catalog": "shop",
            "image_key": "women/1042_front.jpg",
            "crop": [0.1, 0.0, 0.9, 0.6],
            "filter": [
                {"field": "category", "any_of": ["dress", "skirt"]},
                {"field": "price", "max": 80},
                {"field": "in_stock", "any_of": [True]},
            ],
            "facets": ["category", "colour"],
            "diversity": 0.3,
            "min_score": "match",
        },
    },
    "product": {"summary": "More like a product", "value": {"catalog": "shop", "product": "1042", "limit": 24}},
}
CLASSIFICATIONS: Final[dict[str, dict[str, Any]]] = {
    "stored": {
        "summary": "A stored picture, with what of it the answer hangs on",
        "value": {"catalog": "shop", "image_key": "women/1042_front.jpg", "heat_map": True},
    }
}


def body(model: type[BaseModel], *, part: str, shown: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The request body of a route that reads JSON, or a form with a picture and a JSON part."""
    ref = {"$ref": f"#/components/schemas/{model.__name__}"}
    form = {
        "type": "object",
        "required": ["image"],
        "additionalProperties": False,
        "properties": {
            "image": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, AVIF or GIF."},
            part: ref,
        },
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": ref, "examples": shown},
                "multipart/form-data": {
                    "schema": form,
                    "encoding": {
                        "image": {"contentType": "image/jpeg, image/png, image/webp, image/avif, image/gif"},
                        part: {"contentType": "application/json"},
                    },
                },
            },
        }
    }


def add_schemas(document: dict[str, Any], *models: type[BaseModel]) -> None:
    """Put models that routes read by themselves into an OpenAPI document."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
