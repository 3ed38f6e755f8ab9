"""From a request's body to a validated query and its picture: JSON, or a form with a picture and a JSON part."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from workers.web.problem import HttpError

M = TypeVar("M", bound=BaseModel)
JSON_PART_BYTES = 1024 * 1024


async def read_request(request: Request, model: type[M], *, part: str = "query") -> tuple[M, bytes | None]:
    """The validated body and the picture beside it.

    Raises:
        RequestValidationError: 422, fields are wrong.
        HTTPException: 415 another kind of body, 400 a form that cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return validated(model, await request.body()), None
    if kind != "multipart/form-data":
        raise HttpError(415, "send application/json, or multipart/form-data with a file part `image`")
    async with request.form(max_files=2, max_fields=1, max_part_size=JSON_PART_BYTES) as form:
        strange = set(form) - {"image", part}
        if strange or len(form.multi_items()) != len(form):
            raise HttpError(400, f"a form has one part `image` and at most one part `{part}`, nothing else")
        picture = form.get("image")
        if not isinstance(picture, UploadFile):
            raise HttpError(400, "the form's part `image` has to be a file")
        said = form.get(part, "{}")
        text = await said.read() if isinstance(said, UploadFile) else said.encode()
        return validated(model, text), await picture.read()


def validated(model: type[M], text: bytes | str) -> M:
    """JSON text as a model.

    Raises:
        RequestValidationError: it is not one.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise as_request_error(error) from None


def as_request_error(error: ValidationError) -> RequestValidationError:
    """What a model says is wrong, as the application answers it."""
    told: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    return RequestValidationError(told)
