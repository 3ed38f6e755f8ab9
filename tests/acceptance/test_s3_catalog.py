"""The main job on a bucket: a real S3 server, a catalog that follows it, mistakes named, secrets kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.conftest import write_images
from tests.support.commands import Catalog
from tests.support.s3_server import serve_s3


def test_a_bucket_becomes_a_catalog_and_is_followed(catalog: Catalog, tmp_path: Path) -> None:
    root = tmp_path / "s3"
    root.mkdir()
    with serve_s3(root) as server:
        bucket = server.make_bucket("shop")
        images = write_images(bucket / "images")
        settings = {**server.environment(), "CATALOG_S3_ENDPOINT_URL": server.endpoint_url}
        s3 = replace(catalog, environment=settings)
        report = s3.json("ingest", "s3://shop/images", "--name", "shop")
        assert (report["seen"], report["indexed"], report["quarantined"], report["ignored"]) == (32, 30, 2, 1)
        (images / "001.jpg").unlink()
        again = s3.json("ingest", "s3://shop/images", "--name", "shop")
        assert (again["unchanged"], again["deleted"], again["planned"]) == (31, 1, 1)
        hits = s3.json("search", "--key", "002.jpg", "--name", "shop", "-k", "3")["hits"]
        assert len(hits) == 3

        everything = [s3.run(command, "--json") for command in ("list", "status", "jobs", "doctor")]
        texts = [text for ran in everything for text in (ran.out, ran.err)]
        texts += [path.read_bytes().decode(errors="replace") for path in catalog.home.rglob("*") if path.is_file()]
        assert not any(server.secret_access_key in text or server.access_key_id in text for text in texts)


@pytest.mark.parametrize(
    ("source", "change", "named"),
    [
        ("s3://nothing-here", {}, "nothing-here"),
        ("s3://shop", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "AWS_SECRET_ACCESS_KEY"),
        ("s3://Not_A_Bucket!", {}, "Not_A_Bucket!"),
        ("ftp://shop", {}, "ftp"),
    ],
)
def test_a_source_that_cannot_be_read_is_named_and_becomes_no_catalog(
    source: str, change: dict[str, str], named: str, catalog: Catalog, tmp_path: Path
) -> None:
    root = tmp_path / "s3"
    root.mkdir()
    with serve_s3(root) as server:
        server.make_bucket("shop")
        settings = {**server.environment(), "CATALOG_S3_ENDPOINT_URL": server.endpoint_url, **change}
        s3 = replace(catalog, environment=settings)
        ran = s3.run("ingest", source)
        assert ran.code == 1
        assert len(ran.err.splitlines()) == 1, ran.err
        assert named in ran.err
        assert s3.run("list", "--json").objects == []
