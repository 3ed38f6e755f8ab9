"""Changes that come in from elsewhere, by the commands that take them: a real folder, bucket, queue and port."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from celery import Celery

from tests.acceptance.conftest import write_images, write_manifest, write_pictures
from tests.integration.test_events_flow import notification
from tests.support.commands import Catalog, wait_until
from tests.support.s3_server import free_port, serve_s3
from tests.support.sqs_server import serve_sqs
from tests.support.valkey_server import serve_valkey
from tests.support.workshops import picture


@contextmanager
def running(catalog: Catalog, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until it is told to end, which it has to do well."""
    process = catalog.start(*arguments)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert "Traceback" not in said, said
    finally:
        process.kill()


def keys(catalog: Catalog, name: str = "shop") -> set[str]:
    ran = catalog.run("browse", "--name", name, "--limit", "1000", "--json")
    return {found["key"] for found in ran.objects} if ran.code == 0 else set()


def test_a_watched_folder_is_followed_until_it_is_told_to_end(catalog: Catalog, tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", 5)
    with running(catalog, "watch", images, "--name", "shop"):
        wait_until(lambda: len(keys(catalog)) == 5)
        (images / "new.jpg").write_bytes(picture(100))
        (images / "000.jpg").unlink()
        (images / "001.jpg").rename(images / "renamed.jpg")
        wait_until(lambda: keys(catalog) == {"002.jpg", "003.jpg", "004.jpg", "new.jpg", "renamed.jpg"})
    assert catalog.json("ingest", images, "--name", "shop")["planned"] == 0


def test_notifications_of_a_bucket_come_in_by_webhook_and_queue(catalog: Catalog, tmp_path: Path) -> None:
    root = tmp_path / "s3"
    root.mkdir()
    with serve_s3(root) as server, serve_sqs() as queue:
        images = write_images(server.make_bucket("images") / "shop")
        settings = {**server.environment(), "CATALOG_S3_ENDPOINT_URL": server.endpoint_url}
        s3 = replace(catalog, environment={**settings, "CATALOG_EVENTS_TOKEN": "secret"})
        s3.json("ingest", "s3://images/shop", "--name", "shop")
        port = free_port()
        with running(s3, "events", "serve", "--port", str(port)):
            (images / "over http.jpg").write_bytes(picture(100))
            wait_until(lambda: posted(port, notification("over+http.jpg")) == 202)
            wait_until(lambda: "over http.jpg" in keys(s3))
        there = replace(
            s3, environment={**s3.environment, "AWS_DEFAULT_REGION": queue.region, "AWS_REGION": queue.region}
        )
        with running(there, "events", "sqs", queue.url):
            (images / "queued.jpg").write_bytes(picture(101))
            (images / "000.jpg").unlink()
            queue.send(notification("queued.jpg"), notification("000.jpg", name="ObjectRemoved:Delete"))
            wait_until(lambda: "queued.jpg" in keys(s3) and "000.jpg" not in keys(s3))
            wait_until(lambda: queue.depth() == (0, 0))
        assert s3.json("ingest", "s3://images/shop", "--name", "shop")["planned"] == 0


def posted(port: int, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/v1/events", body=body, headers={"Authorization": "Bearer secret"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def test_product_fields_are_updated_from_the_command_line(catalog: Catalog, tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", 30)
    manifest = write_manifest(tmp_path / "manifest.csv")
    catalog.json("ingest", images, "--manifest", manifest, "--name", "shop")
    product = payload(catalog, "000.jpg")["product_id"]
    report = catalog.json(
        "update", "--name", "shop", "--set", "price=1,50", "--set", "brand=", "--product", str(product)
    )
    assert (report["payload_updated"], report["indexed"]) == (2, 0)
    rows = [
        {"image": "001.jpg", "price": 2},
        {"product_id": product, "in_stock": None},
        {"image": "none.jpg", "price": 1},
    ]
    updates = tmp_path / "updates.jsonl"
    updates.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = catalog.run("update", "--name", "shop", "--file", updates, "--json")
    assert (ran.code, ran.last["payload_updated"]) == (0, 2)
    assert "none.jpg" in ran.err
    assert catalog.json("ingest", images, "--manifest", manifest, "--name", "shop")["planned"] == 0
    assert payload(catalog, "001.jpg")["price"] == 2


def payload(catalog: Catalog, key: str) -> dict[str, object]:
    found = catalog.run("browse", "--name", "shop", "--limit", "1000", "--json").objects
    return next(one for one in found if one["key"] == key)


def test_single_keys_are_looked_at(catalog: Catalog, tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", 3)
    catalog.json("ingest", images, "--name", "shop")
    (images / "new.jpg").write_bytes(picture(100))
    (images / "000.jpg").unlink()
    report = catalog.json("look", "new.jpg", "000.jpg", "001.jpg", "--name", "shop")
    assert (report["indexed"], report["deleted"], report["unchanged"]) == (1, 1, 1)


def test_mistakes_are_said_in_a_line(shop: tuple[Catalog, Path]) -> None:
    catalog, folder = shop
    for arguments, said in (
        (("update", "--name", "shop"), "--set"),
        (("update", "--name", "shop", "--set", "weight=1", "--key", "000.jpg"), "weight"),
        (("events", "serve", "--host", "192.0.2.1"), "CATALOG_EVENTS_TOKEN"),
        (("events", "sqs", "images"), "queue"),
        (("watch", folder / "none", "--name", "shop"), "does not exist"),
    ):
        ran = catalog.run(*arguments)
        assert ran.code != 0, arguments
        assert len(ran.err.splitlines()) == 1, ran.err
        assert said in ran.err, ran.err


def test_a_message_from_a_program_that_has_only_celery_is_worked_off_by_a_worker(
    catalog: Catalog, tmp_path: Path
) -> None:
    images = write_pictures(tmp_path / "images", 5)
    catalog.json("ingest", images, "--name", "shop")
    with serve_valkey(tmp_path) as broker_url:
        app = Celery(broker=broker_url, set_as_current=False)
        app.conf.task_create_missing_queues = True
        far = replace(catalog, environment={"CATALOG_BROKER_URL": broker_url, "CATALOG_LOG_LEVEL": "INFO"})
        (images / "new.jpg").write_bytes(picture(100))
        (images / "000.jpg").unlink()
        request = {"v": 1, "kind": "keys", "catalog": "shop", "keys": ["new.jpg", "000.jpg"]}
        for message in (request | {"v": 9}, request | {"else": 1}, request):
            app.send_task("catalog.submit", kwargs={"message": message}, queue="catalog.interactive")
        with running(far, "worker"):
            wait_until(lambda: "new.jpg" in keys(catalog) and "000.jpg" not in keys(catalog))
        made = catalog.run("jobs", "--name", "shop", "--json").objects
        assert [job["kind"] for job in made] == ["keys", "sync"]
