"""A route that is answered directly behaves as the framework's own would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from tests.support.served import app_served
from workers.errors import ContractError
from workers.web.direct import Direct
from workers.web.problem import answer_with_problems


class App(FastAPI):
    def build_middleware_stack(self) -> Direct:
        return Direct(super().build_middleware_stack(), self, path="/ask", endpoint=answer)


async def answer(request: Request) -> Response:
    match await request.body():
        case b"ours":
            raise ContractError("that is no question")
        case b"nobody's":
            raise RuntimeError("secret")
    return PlainTextResponse(f"directly, {request.scope['route'].path}")


@contextmanager
def client() -> Iterator[httpx.Client]:
    app = App()
    answer_with_problems(app)

    @app.get("/ask")
    @app.post("/ask/more")
    async def framework() -> str:
        return "by the framework"

    with app_served(app) as url, httpx.Client(base_url=url) as asked:
        yield asked


def test_only_its_method_and_path_are_answered_directly() -> None:
    with client() as asked:
        assert asked.post("/ask", content=b"well").text == "directly, /ask"
        assert asked.get("/ask").json() == "by the framework"
        assert asked.post("/ask/more").json() == "by the framework"
        assert asked.put("/ask").status_code == 405


def test_errors_become_the_applications_problems() -> None:
    with client() as asked:
        ours, nobodys = asked.post("/ask", content=b"ours"), asked.post("/ask", content=b"nobody's")
    assert (ours.status_code, ours.json()["detail"]) == (400, "that is no question")
    assert nobodys.status_code == 500
    assert "secret" not in nobodys.text
    assert nobodys.headers["content-type"] == "application/problem+json"
