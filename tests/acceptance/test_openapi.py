"""The server against its own OpenAPI document, by schemathesis: no 5xx, no answer that the document does not tell of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.commands import Catalog
from tests.support.served import app_served
from workers.bootstrap import Process
from workers.settings import Settings
from workers.web.app import make_app

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def test_every_answer_is_one_that_the_document_tells_of(shop: tuple[Catalog, Path], tmp_path: Path) -> None:
    command, _ = shop
    settings = Settings(home=command.home, model=str(command.bundle))
    with Process(settings) as process, app_served(make_app(process)) as url:
        ran = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json",
                "--checks", CHECKS, "--phases", "examples,fuzzing", "--max-examples", "12", "--seed", "1",
                "--generation-database", "none", "--request-timeout", "20", "--no-color",
            ],
            capture_output=True,
            text=True,
            timeout=250,
            cwd=tmp_path,
        )  # fmt: skip
    assert ran.returncode == 0, "\n".join(line[:300] for line in ran.stdout.splitlines() if line.strip())
