"""Jobs over HTTP: a real server over a real ledger, callers with and without keys."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.access import Scope, key_text, new_key_id, new_secret, secret_digest
from schemas.records import JobState
from tests.support.ledgers import failed, planned, quarantined, settled, started
from tests.support.served import app_served
from workers.bootstrap import Process
from workers.settings import Settings
from workers.web import keys as key_module
from workers.web.app import make_app
from workers.web.keys import KeyRing, by_key

JOB = "/v1/jobs"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    with Process(Settings(home=tmp_path, events_token="the webhook's own")) as opened:
        yield opened


@pytest.fixture
def url(process: Process) -> Iterator[str]:
    """Every caller needs a key."""
    ring = KeyRing(lambda: process.ledger, fresh_s=0.1)
    with app_served(make_app(process, authenticate=by_key(ring, needs_key=True))) as served:
        yield served


def key(process: Process, *scopes: Scope, catalogs: tuple[str, ...] | None = None, valid_s: float | None = None) -> str:
    key_id, secret = new_key_id(), new_secret()
    digest = secret_digest(secret)
    process.ledger.add_api_key(key_id, key_id, digest=digest, scopes=scopes, catalogs=catalogs, valid_s=valid_s)
    return key_text(key_id, secret)


def client(url: str, bearer: str | None) -> httpx.Client:
    return httpx.Client(base_url=url, headers={} if bearer is None else {"Authorization": f"Bearer {bearer}"})


@pytest.fixture
def ingester(process: Process, url: str) -> Iterator[httpx.Client]:
    with client(url, key(process, Scope.INGEST)) as opened:
        yield opened


class TestKeys:
    def test_without_a_key_that_is_right_nobody_comes_in(self, process: Process, url: str) -> None:
        right = key(process, Scope.INGEST)
        key_id, _ = right.removeprefix("catalog_").split("_")
        expired = key(process, Scope.INGEST, valid_s=-1.0)
        wrong = [None, "x", key_text(key_id, new_secret()), key_text(new_key_id(), new_secret()), expired]
        for bearer in wrong:
            with client(url, bearer) as caller:
                answer = caller.get(JOB)
            assert (answer.status_code, answer.json()["status"]) == (401, 401)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
        with client(url, right) as caller:
            assert caller.get(JOB).json() == {"jobs": []}
        assert httpx.get(url + JOB, headers={"X-API-Key": right}).status_code == 200
        assert httpx.get(url + JOB, headers={"Authorization": f"Basic {right}"}).status_code == 401

    def test_a_revoked_key_opens_nothing_after_a_moment(self, process: Process, url: str) -> None:
        bearer = key(process, Scope.INGEST)
        with client(url, bearer) as caller:
            assert caller.get(JOB).status_code == 200
            process.ledger.revoke_api_key(bearer.split("_")[1])
            deadline = time.monotonic() + 5
            while caller.get(JOB).status_code != 401:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def test_the_hot_path_and_guessing_cost_no_sql(
        self, process: Process, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reads = 0
        read = process.ledger.api_keys

        def counted() -> object:
            nonlocal reads
            reads += 1
            return read()

        monkeypatch.setattr(process.ledger, "api_keys", counted)
        ring = KeyRing(lambda: process.ledger)
        bearer = key(process, Scope.INGEST)
        began = time.monotonic()
        with app_served(make_app(process, authenticate=by_key(ring, needs_key=True))) as other:
            with client(other, bearer) as caller:
                for _ in range(30):
                    assert caller.get(JOB).status_code == 200
            with client(other, key_text(new_key_id(), new_secret())) as guesser:
                for _ in range(3):
                    assert guesser.get(JOB).status_code == 401
        assert reads <= 2 + (time.monotonic() - began) / key_module.NEWEST_S

    def test_use_is_noted(self, process: Process, url: str) -> None:
        with client(url, key(process, Scope.INGEST)) as caller:
            caller.get(JOB)
        deadline = time.monotonic() + 5
        while process.ledger.api_keys()[0].last_used_at is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_what_a_key_is_not_for_it_does_not_see(self, process: Process, url: str) -> None:
        shop, other = started(process.ledger, "shop"), started(process.ledger, "other", key="2")
        with client(url, key(process, Scope.SEARCH)) as searcher:
            assert searcher.get(JOB).status_code == 403
        with client(url, key(process, Scope.INGEST, catalogs=("shop",))) as caller:
            assert [job["job"] for job in caller.get(JOB).json()["jobs"]] == [shop.id]
            hidden = [
                caller.get(f"{JOB}/{other.id}"),
                caller.get(f"{JOB}/{'0' * 32}"),
                caller.post(f"{JOB}/{other.id}/cancel"),
                caller.get(f"{JOB}/{other.id}/events"),
                caller.get(f"{JOB}/{other.id}/failures"),
                caller.get("/v1/quarantine", params={"catalog": "other"}),
                caller.get("/v1/quarantine", params={"catalog": "nowhere"}),
                caller.get(JOB, params={"catalog": "other"}),
                caller.post(JOB, json={"kind": "reindex", "catalog": "other"}),
            ]
            problems = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in hidden]
            assert all(problem == problems[0] for problem in problems), problems
            assert problems[0]["status"] == 404
            assert caller.get("/v1/workers").status_code == 403
        assert process.ledger.job(other.id).state is JobState.RUNNING
        with client(url, key(process, Scope.ADMIN)) as admin:
            assert admin.get("/v1/workers").json() == {"workers": []}
            assert len(admin.get(JOB).json()["jobs"]) == 2

    def test_events_are_taken_for_the_token_or_a_key(self, process: Process, url: str) -> None:
        from tests.integration.test_events_flow import notification

        process.ledger.ensure_catalog("shop", source_url="s3://images/shop")
        body = notification("a.jpg")

        def post(bearer: str | None, path: str = "/v1/events") -> int:
            with client(url, bearer) as caller:
                return caller.post(path, content=body).status_code

        assert [post(None), post("wrong"), post("the webhook's own")] == [401, 401, 202]
        assert [post(key(process, Scope.INGEST)), post(key(process, Scope.SEARCH))] == [202, 403]
        narrow = key(process, Scope.INGEST, catalogs=("shop",))
        assert [post(narrow), post(narrow, "/v1/events/shop"), post(narrow, "/v1/events/x")] == [403, 202, 404]


class TestJobs:
    def test_a_job_is_made_once_for_its_key_and_steered(self, process: Process, ingester: httpx.Client) -> None:
        ledger = process.ledger
        ledger.finish_job(started(ledger).id, JobState.DONE)
        asked: dict[str, Any] = {"kind": "keys", "catalog": "shop", "keys": ["a.jpg", "b.jpg"]}
        made = ingester.post(JOB, json=asked, headers={"Idempotency-Key": "once"})
        assert made.status_code == 202
        (job,) = made.json()["jobs"]
        assert made.headers["Location"] == f"{JOB}/{job['job']}"
        assert ingester.get(made.headers["Location"]).json()["state"] == "running"
        again = ingester.post(JOB, json={**asked, "keys": ["c.jpg"]}, headers={"Idempotency-Key": "once"})
        assert [one["job"] for one in again.json()["jobs"]] == [job["job"]]
        path = f"{JOB}/{job['job'][:8]}"
        paused = ingester.post(f"{path}/pause", json={"reason": "sale"}).json()
        assert (paused["state"], "sale" in paused["error"]) == ("paused", True)
        assert ingester.post(f"{path}/resume").json()["state"] == "running"
        assert ingester.post(f"{path}/priority", json={"priority": 5}).json()["priority"] == 5
        assert ingester.post(f"{path}/confirm").status_code == 400
        assert ingester.post(f"{path}/cancel").json()["state"] == "cancelled"
        assert ingester.post(f"{path}/pause").status_code == 400
        assert [j["state"] for j in ingester.get(JOB, params={"state": "cancelled"}).json()["jobs"]] == ["cancelled"]
        assert ingester.get(JOB, params={"limit": 1}).json()["jobs"][0]["job"] == job["job"]

    def test_another_scan_is_in_the_way(self, process: Process, ingester: httpx.Client) -> None:
        started(process.ledger)
        answer = ingester.post(JOB, json={"kind": "retry", "catalog": "shop", "reasons": ["truncated"]})
        assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json")

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"kind": "drop", "catalog": "shop"}, 422),
            ({"kind": "keys", "catalog": "shop", "keys": []}, 422),
            ({"kind": "keys", "catalog": "shop", "keys": [1]}, 422),
            ({"kind": "retry", "catalog": "shop", "reasons": ["ugly"]}, 422),
            ({"kind": "sync", "catalog": "shop", "priority": 10}, 422),
            ({"kind": "reindex", "catalog": "nowhere"}, 404),
            ({"kind": "sync", "catalog": "new", "source": "file:///etc"}, 400),
            ({"kind": "update", "catalog": "nowhere", "fields": {"price": 1.5}, "keys": ["a"]}, 404),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, ingester: httpx.Client, body: object, status: int) -> None:
        answer = ingester.post(JOB, json=body)
        assert (answer.status_code, answer.json()["status"]) == (status, status)

    def test_what_was_left_out_is_listed_page_by_page(self, process: Process, ingester: httpx.Client) -> None:
        ledger = process.ledger
        job = started(ledger)
        settled(ledger, job, ["a.jpg", "=b.jpg"], quarantined)
        settled(ledger, job, ["c.jpg"], failed)
        planned(ledger, job, ["d.jpg"])
        for path, given in (("/v1/quarantine", {"catalog": "shop"}), (f"{JOB}/{job.id}/failures", {})):
            first = ingester.get(path, params={**given, "limit": 2}).json()
            rest = ingester.get(path, params={**given, "limit": 2, "cursor": first["next_cursor"]}).json()
            rows = first["items"] + rest["items"]
            assert [(row["key"], row["outcome"]) for row in rows] == [
                ("=b.jpg", "quarantined"),
                ("a.jpg", "quarantined"),
                ("c.jpg", "failed"),
            ]
            assert rest["next_cursor"] is None
            assert rows[0]["advice"]
        only = ingester.get("/v1/quarantine", params={"catalog": "shop", "reason": "truncated"}).json()["items"]
        assert [row["key"] for row in only] == ["=b.jpg", "a.jpg"]
        text = ingester.get(f"{JOB}/{job.id}/failures", headers={"Accept": "text/csv"})
        assert text.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert [row["key"] for row in csv.DictReader(text.text.splitlines())] == ["'=b.jpg", "a.jpg", "c.jpg"]


class TestStreams:
    def test_whoever_watches_sees_every_change_until_the_job_rests(
        self, process: Process, ingester: httpx.Client
    ) -> None:
        ledger = process.ledger
        job = started(ledger)
        with ingester.stream("GET", f"{JOB}/{job.id}/events", headers={"Last-Event-ID": "7"}) as stream:
            assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            events = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
            assert next(events)["finished"] == 0
            settled(ledger, job, ["a.jpg", "b.jpg"])
            assert next(event for event in events if event["finished"] == 2)["state"] == "running"
            ledger.finish_job(job.id, JobState.DONE)
            assert [event["state"] for event in events][-1] == "done"

    def test_many_watchers_share_one_reading(
        self, process: Process, ingester: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = started(process.ledger)
        reads = 0
        activity = process.ledger.activity

        def counted(job_id: str) -> object:
            nonlocal reads
            reads += 1
            return activity(job_id)

        monkeypatch.setattr(process.ledger, "activity", counted)
        opened = [
            ingester.send(ingester.build_request("GET", f"{JOB}/{job.id}/events"), stream=True) for _ in range(20)
        ]
        lines = [answer.iter_lines() for answer in opened]
        for one in lines:
            assert next(line for line in one if line.startswith("event")) == "event: job"
        process.ledger.finish_job(job.id, JobState.CANCELLED)
        for one in lines:
            assert '"cancelled"' in [line for line in one if line.startswith("data")][-1]
        assert reads < 20
