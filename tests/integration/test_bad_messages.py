"""What anybody may put on a queue: a worker refuses it in one line and goes on with the next message."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from schemas.ids import new_id
from schemas.messages import AdvanceJob, Tick
from schemas.records import Lane
from tests.support.bundles import write_bundle
from tests.support.commands import wait_until
from tests.support.valkey_server import serve_valkey
from workers.celery_app import ADVANCE, TICK, make_app, publish, queue_of

QUEUE = queue_of(Lane.INTERACTIVE)


@dataclass(frozen=True, kw_only=True)
class Working:
    """A real worker on a real Valkey."""

    broker_url: str
    process: subprocess.Popen[bytes]
    log: Path

    def words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def put(self, item: str | bytes) -> None:
        """As somebody with access to Valkey would."""
        with redis.Redis.from_url(self.broker_url) as client:
            client.lpush(QUEUE, item)

    def works(self) -> bool:
        """Whether it comes to a message that is put there now: one about a job that never was is mentioned in its log."""
        job = new_id()
        publish(make_app(self.broker_url), AdvanceJob(job_id=job), Lane.INTERACTIVE)
        wait_until(lambda: job in self.words() or self.process.poll() is not None, timeout_s=20)
        return self.process.poll() is None

    def nothing_in_hand(self) -> bool:
        with redis.Redis.from_url(self.broker_url) as client:
            return not client.exists("unacked") and not client.llen(QUEUE)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Working]:
    folder = tmp_path_factory.mktemp("messages")
    bundle = write_bundle(folder / "bundle")
    with serve_valkey(folder) as broker_url:
        log = folder / "worker.log"
        environment = {
            "CATALOG_HOME": str(folder / "home"),
            "CATALOG_MODEL": str(bundle),
            "CATALOG_BROKER_URL": broker_url,
            "CATALOG_THREADS": "1",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "workers", "worker", "--lanes", "interactive"],
                env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        working = Working(broker_url=broker_url, process=process, log=log)
        try:
            yield working
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def item(body: object = ((), {"message": {}}, {}), *, raw_body: bytes | None = None, **changes: Any) -> dict[str, Any]:
    """A message as Celery writes it, with changes: `headers__task` is `headers["task"]`."""
    encoded = base64.b64encode(raw_body if raw_body is not None else json.dumps(body).encode()).decode()
    made: dict[str, Any] = {
        "body": encoded,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TICK, "id": new_id(), "argsrepr": "()", "kwargsrepr": "{}"},
        "properties": {
            "correlation_id": new_id(),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": new_id(),
        },
    }
    for path, value in changes.items():
        place = made
        *above, last = path.split("__")
        for name in above:
            place = place[name]
        place[last.replace("_", "-") if not above else last] = value
    return made


NO_MESSAGES = {
    "not JSON": "neither JSON nor anything else",
    "not text": b"\xff\xfe\x00",
    "a number": "42",
    "a list": "[1, 2]",
    "nothing in it": "{}",
    "no properties": json.dumps({"body": "", "headers": {}}),
    "no base64": json.dumps(item(body="!")),
    "properties are a list": json.dumps(item(properties=[])),
    "no delivery tag": json.dumps(item(properties={"body_encoding": "base64"})),
    "a delivery tag that is no text": json.dumps(item(properties__delivery_tag={"a": 1})),
    "no delivery info": json.dumps(item(properties__delivery_info="none")),
    "headers are a list": json.dumps(item(headers=[1])),
    "a task that is no text": json.dumps(item(headers__task={"a": 1})),
    "an id that is no text": json.dumps(item(headers__id=[1])),
    "another codec": json.dumps(item(properties__body_encoding="rot13")),
}


@pytest.mark.parametrize("name", NO_MESSAGES)
def test_an_item_that_is_no_message_is_dropped(worker: Working, name: str) -> None:
    worker.put(NO_MESSAGES[name])
    assert worker.works(), worker.words()[-3000:]
    wait_until(worker.nothing_in_hand)


READ = Path(tempfile.gettempdir()) / f"a-pickle-was-read-{os.getpid()}"


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(READ),)


BAD_MESSAGES = {
    "a pickle": item(raw_body=pickle.dumps(((Harmful(),), {}, {})), content_type="application/x-python-serialize"),
    "a pickle called JSON": item(raw_body=pickle.dumps(Harmful())),
    "YAML": item(
        raw_body=b"!!python/object/apply:os.mkdir [%s]" % str(READ).encode(), content_type="application/x-yaml"
    ),
    "an unknown task": item(headers__task="os.system"),
    "no task": item(headers={}),
    "no id": item(headers={"task": TICK}),
    "an expiry that is none": item(headers__expires="soon"),
    "a time that is none": item(headers__eta="soon"),
    "no limits": item(headers__timelimit="none"),
    "an unknown field": item(((), {"message": {**Tick().model_dump(), "shell": "rm"}}, {})),
    "another version": item(((), {"message": {"v": 2}}, {})),
    "no object": item(((), {"message": "tick"}, {})),
    "no arguments": item(((), {}, {})),
    "other arguments": item((("a", "b"), {"c": 1}, {})),
    "a job's id that is none": item(
        ((), {"message": {"v": 1, "job_id": "'; DROP TABLE jobs"}}, {}), headers__task=ADVANCE
    ),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_a_message_that_can_never_work_is_refused(worker: Working, name: str) -> None:
    worker.put(json.dumps(BAD_MESSAGES[name]))
    assert worker.works(), worker.words()[-3000:]
    wait_until(worker.nothing_in_hand)
    assert not READ.exists()


def test_what_our_own_contract_refuses_is_one_line(worker: Working) -> None:
    before = len(worker.words())
    worker.put(json.dumps(BAD_MESSAGES["another version"]))
    assert worker.works()
    refused = [line for line in worker.words()[before:].splitlines() if "message refused" in line]
    assert len(refused) == 1
    assert json.loads(refused[0])["error"] == "not a Tick message: v: Input should be 1"
    assert all(json.loads(line) for line in worker.words()[before:].splitlines()), "every line of the log is JSON"
    assert "Traceback" not in worker.words()[before:]
