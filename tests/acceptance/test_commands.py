"""The command line as its users run it: every command once, its JSON, and what it says to a person's mistakes."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import write_manifest, write_pictures
from tests.support.bundles import write_bundle
from tests.support.commands import Catalog, Ran, finished, wait_until
from tests.support.workshops import picture


@pytest.fixture
def indexed(catalog: Catalog, images: Path, tmp_path: Path) -> Catalog:
    """A catalog of its own, for tests that change it."""
    catalog.json("ingest", images, "--manifest", write_manifest(tmp_path / "manifest.csv"), "--name", "shop")
    return catalog


def test_ingest_ends_with_one_object_that_adds_up(catalog: Catalog, images: Path) -> None:
    ran = catalog.run("ingest", images, "--name", "shop", "--json")
    assert ran.code == 0, ran.err
    (report,) = ran.objects
    counts = "seen new changed unchanged deleted indexed duplicates quarantined failed"
    assert {*counts.split(), "job", "catalog", "state", "seconds", "images_per_s", "stages"} <= report.keys()
    assert [report[name] for name in counts.split()] == [32, 32, 0, 0, 0, 30, 0, 2, 0]
    assert (report["state"], report["ignored"]) == ("done", 1)
    assert {stage["stage"] for stage in report["stages"]} >= {"fetch", "decode", "embed", "upsert", "record"}
    assert report["bottleneck"] is not None
    again = catalog.json("ingest", images, "--name", "shop")
    assert (again["unchanged"], again["new"], again["indexed"]) == (32, 0, 0)


def test_search_by_picture_and_by_key(shop: tuple[Catalog, Path]) -> None:
    indexed, images = shop
    answer = indexed.json("search", images / "004.jpg", "--name", "shop", "-k", "5")
    assert {"model", "took_ms", "hits"} <= answer.keys()
    best = answer["hits"][0]
    assert (best["key"], best["product_id"], best["category"]) == ("004.jpg", "P2", "t-shirt")
    assert best["score"] == pytest.approx(1.0, abs=1e-3)
    assert best["payload"]["brand"] == "Brand1"
    by_key = indexed.json("search", "--key", "004.jpg", "--name", "shop", "-k", "29")
    assert "004.jpg" not in [hit["key"] for hit in by_key["hits"]]
    others = indexed.json("search", "--key", "004.jpg", "--name", "shop", "-k", "29", "--exclude-own-product")
    assert "P2" not in [hit["product_id"] for hit in others["hits"]]


def test_search_filters_groups_and_spreads(shop: tuple[Catalog, Path]) -> None:
    indexed, images = shop

    def hits(*options: str) -> list[dict[str, object]]:
        return list(indexed.json("search", images / "004.jpg", "--name", "shop", "-k", "30", *options)["hits"])

    assert {hit["category"] for hit in hits("--category", "dress")} == {"dress"}
    assert len(hits("--category", "dress", "--category", "T-Shirts")) == 30
    assert {hit["payload"]["brand"] for hit in hits("--brand", "Brand2")} == {"Brand2"}  # type: ignore[index]
    assert all(hit["payload"]["price"] <= 10 for hit in hits("--price-max", "10"))  # type: ignore[index, operator]
    assert all(hit["payload"]["in_stock"] is True for hit in hits("--in-stock"))  # type: ignore[index]
    grouped = [hit["product_id"] for hit in hits("--group-by", "product")]
    assert len(grouped) == len(set(grouped)) == 15
    alike, spread = hits(), hits("--diversity", "0.9")
    assert {hit["key"] for hit in alike} == {hit["key"] for hit in spread}
    assert [hit["key"] for hit in alike] != [hit["key"] for hit in spread]


def test_search_by_product_page_by_page_with_facets_and_any_filter(shop: tuple[Catalog, Path]) -> None:
    indexed, images = shop
    asked = ("search", "--product", "P2", "--name", "shop", "-k", "4", "--filter", "price=2..20", "--facet", "brand")
    first = indexed.json(*asked)
    second = indexed.json(*asked, "--cursor", first["next_cursor"])
    found = [hit["payload"] for answer in (first, second) for hit in answer["hits"]]
    assert all(2 <= payload["price"] <= 20 and payload["product_id"] != "P2" for payload in found)
    assert len({payload["key"] for payload in found}) == len(found) > 4
    assert first["total"] == sum(value["count"] for value in first["facets"]["brand"])
    assert {"likeness", "is_match"} <= first["hits"][0].keys()
    whole = indexed.json("search", images / "004.jpg", "--name", "shop", "-k", "1")
    part = indexed.json("search", images / "004.jpg", "--name", "shop", "-k", "1", "--crop", "0,0,0.3,0.3")
    assert whole["query"]["categories"][0]["category"] == whole["query"]["category"]
    assert part["hits"][0]["score"] < whole["hits"][0]["score"]
    table = indexed.run("search", "--product", "P2", "--name", "shop", "-k", "4", "--facet", "brand")
    assert "images pass the filter" in table.out
    assert "--cursor" in table.err


def test_a_board_is_drawn(shop: tuple[Catalog, Path], tmp_path: Path) -> None:
    indexed, images = shop
    ran = indexed.run("search", images / "004.jpg", "--name", "shop", "-k", "4", "--board", tmp_path / "board")
    assert ran.code == 0, ran.err
    assert (tmp_path / "board.png").read_bytes().startswith(b"\x89PNG")
    assert "004.jpg" in (tmp_path / "board.html").read_text(encoding="utf-8")


def test_classify_answers_a_line_an_image(catalog: Catalog, images: Path) -> None:
    ran = catalog.run(
        "classify", images / "001.jpg", images / "cut.jpg", images / "002.jpg", images / "none.jpg", "--json"
    )
    first, cut, second, missing = ran.objects
    assert ran.code == 1
    assert {"image", "category", "confidence", "attributes", "box"} == first.keys() == second.keys()
    assert (first["attributes"], first["box"]) == (None, None)
    assert cut["error"]["reason"] == "truncated"
    assert missing["error"]["reason"] == "vanished"


def test_looking_after_a_catalog(indexed: Catalog, images: Path) -> None:
    assert indexed.json("list")["images"] == 30
    rows = indexed.run("quarantine", "--name", "shop", "--json").objects
    assert {(row["key"], row["reason"]) for row in rows} == {("empty.jpg", "empty"), ("cut.jpg", "truncated")}
    assert all(row["advice"] and row["detail"] for row in rows)
    assert len(indexed.run("browse", "--name", "shop", "--category", "dress", "--json").objects) == 15
    job = indexed.json("status")
    assert indexed.json("status", job["job"][:6])["job"] == job["job"]
    assert [row["job"] for row in indexed.run("jobs", "--json").objects] == [job["job"]]
    (images / "cut.jpg").write_bytes(picture(99))
    assert indexed.json("ingest", images, "--name", "shop")["indexed"] == 1
    assert indexed.json("retry", "--name", "shop")["quarantined"] == 1
    assert indexed.run("drop", "--name", "shop", "--json").code == 1
    assert indexed.json("drop", "--name", "shop", "--yes")["dropped"] is True
    assert indexed.run("list", "--json").objects == []
    assert (images / "001.jpg").exists()


def test_a_catalog_keeps_its_model_until_it_is_reindexed(indexed: Catalog, images: Path, tmp_path: Path) -> None:
    before = indexed.json("list")["model"]
    other = write_bundle(tmp_path / "other", name="another-model")
    upgraded = Catalog(home=indexed.home, bundle=other, environment={})
    assert upgraded.json("ingest", images, "--name", "shop")["unchanged"] == 32
    assert upgraded.json("search", images / "004.jpg", "--name", "shop")["model"] == before
    report = upgraded.json("reindex", "--name", "shop")
    assert (report["kind"], report["indexed"]) == ("reindex", 30)
    after = upgraded.json("search", images / "004.jpg", "--name", "shop")
    assert after["model"] not in (before, None)
    assert after["hits"][0]["payload"]["brand"] == "Brand1"


def test_model_and_doctor(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.json("model", "show")["name"] == "colour-grid"
    assert catalog.json("model", "verify")["whole"] is True
    checks = catalog.run("doctor", "--json")
    assert checks.code == 0, checks.out
    assert all(check["ok"] for check in checks.objects)
    broken = write_bundle(tmp_path / "broken")
    with (broken / "model.bin").open("ab") as file:
        file.write(b"x")
    ran = catalog.run("model", "verify", broken)
    assert ran.code == 1
    assert "digest" in ran.err


def test_sample_is_drawn_and_indexed(catalog: Catalog, tmp_path: Path) -> None:
    drawn = catalog.json("sample", tmp_path / "sample", "--images", "40")
    assert drawn["images"] == 40
    report = catalog.json("ingest", tmp_path / "sample", "--manifest", drawn["manifest"], "--name", "sample")
    assert (report["indexed"] + report["duplicates"], report["manifest_orphans"], report["manifest_problems"]) == (
        40,
        0,
        0,
    )


def test_dry_run_prints_the_plan(indexed: Catalog, images: Path) -> None:
    (images / "new.jpg").write_bytes(picture(777))
    (images / "000.jpg").unlink()
    *keys, plan = indexed.run("ingest", images, "--name", "shop", "--dry-run", "--json").objects
    assert {(key["key"], key["plan"]) for key in keys} == {("new.jpg", "new"), ("000.jpg", "vanished")}
    assert (plan["new"], plan["vanished"], plan["unchanged"]) == (1, 1, 31)
    assert indexed.json("list")["images"] == 30


def test_the_guard_waits_for_confirm(catalog: Catalog, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "many", 120)
    catalog.json("ingest", folder, "--name", "many")
    for number in range(70):
        (folder / f"{number:03d}.jpg").unlink()
    ran = catalog.run("ingest", folder, "--name", "many", "--json")
    assert (ran.code, ran.last["state"]) == (3, "awaiting_confirmation")
    assert catalog.json("list")["images"] == 120
    assert catalog.json("confirm", ran.last["job"])["deleted"] == 70
    assert catalog.json("list")["images"] == 50


def test_evaluate_measures_a_catalog_and_draws_its_worst_queries(shop: tuple[Catalog, Path], tmp_path: Path) -> None:
    command, folder = shop
    found = command.json("evaluate", "--name", "shop", "--limit", "20", "--board", tmp_path / "worst.html")
    assert (found["queries"], found["themselves_indexed"], found["unusable"]) == (20, 20, {})
    shares = [recall["wanted_share"] for recall in found["recall_at_10"]]
    assert shares == [None, 0.5, 0.05, 0.005]
    plain = found["recall_at_10"][0]
    assert (plain["filter"], plain["recall"]["value"]) == (None, 1.0)  # so few images are compared one by one
    assert 0.0 < plain["latency_ms"]["p50"] <= plain["latency_ms"]["p95"] <= plain["latency_ms"]["p99"]
    assert {"category_precision_at_1", "category_precision_at_10", "product_recall_at_10"} <= found["figures"].keys()
    page = (tmp_path / "worst.html").read_text(encoding="utf-8")
    assert page.count("data:image/") >= len(found["worst"]) > 0

    labelled = tmp_path / "labelled"
    for category, number in (("dress", 1), ("t-shirt", 2)):
        (labelled / category).mkdir(parents=True)
        (labelled / category / "view.jpg").write_bytes((folder / f"{number:03d}.jpg").read_bytes())
    (labelled / "dress/cut.jpg").write_bytes((folder / "cut.jpg").read_bytes())
    shown = command.run("evaluate", labelled, "--name", "shop")
    assert shown.code == 0, shown.err
    assert "category precision at 1" in shown.out
    assert "cut.jpg" in shown.err
    nothing = command.run("evaluate", tmp_path / "none", "--name", "shop")
    assert nothing.code != 0
    assert str(tmp_path / "none") in nothing.err


MANY = 800
"""Some seconds of work: an interrupt on a busy machine still comes in the middle of it."""


def test_interrupt_stops_and_the_same_command_goes_on(catalog: Catalog, tmp_path: Path, slow_bundle: Path) -> None:
    folder = write_pictures(tmp_path / "many", MANY)
    slow = Catalog(home=catalog.home, bundle=slow_bundle, environment={"CATALOG_THREADS": "1"})
    process = slow.start("ingest", folder, "--name", "many", "--json")
    wait_until(lambda: finished(slow.home) > 0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 130, (out, err)
    assert "run the same command again" in err
    assert "Traceback" not in err
    interrupted = slow.json("status")
    assert 0 < interrupted["finished"] < MANY
    report = slow.json("ingest", folder, "--name", "many")
    assert (report["job"], report["seen"], report["indexed"]) == (interrupted["job"], MANY, MANY)


MISTAKES = {
    "no such folder": (["ingest", "/nowhere/at/all"], "/nowhere/at/all"),
    "bad name": (["ingest", ".", "--name", "Not A Name"], "lower-case"),
    "no such catalog": (["search", "--key", "a.jpg", "--name", "none"], "none"),
    "nothing to look for": (["search", "--name", "shop"], "picture"),
    "no such picture": (["search", "missing.jpg", "--name", "shop"], "missing.jpg"),
    "unknown category": (["search", "--key", "001.jpg", "--name", "shop", "--category", "spaceship"], "t-shirt"),
    "unknown key": (["search", "--key", "nope.jpg", "--name", "shop"], "nope.jpg"),
    "unknown filter": (
        ["search", "--key", "001.jpg", "--name", "shop", "--filter", "season=summer"],
        "brand (keyword)",
    ),
    "no level": (["search", "--key", "001.jpg", "--name", "shop", "--min-score", "match"], "no measured level"),
    "unknown group": (["search", "--key", "001.jpg", "--name", "shop", "--group-by", "size"], "product"),
    "bad job": (["status", "ffffffff"], "ffffffff"),
    "bad reason": (["quarantine", "--name", "shop", "--reason", "ugly"], "truncated"),
    "no bundle": (["model", "show", "/nowhere"], "/nowhere"),
    "no manifest": (["ingest", ".", "--name", "other", "--manifest", "nothing.csv"], "nothing.csv"),
    "bad retry reason": (["retry", "--name", "shop", "--reason", "ugly"], "truncated"),
    "nothing to pause": (["pause", "ffffffff"], "ffffffff"),
    "nothing to resume": (["resume", "ffffffff"], "ffffffff"),
    "no such report": (["report", "ffffffff"], "ffffffff"),
    "bad cron": (["schedule", "add", "n", "--catalog", "shop", "--cron", "nightly"], "minute hour day month weekday"),
    "bad zone": (["schedule", "add", "n", "--catalog", "shop", "--cron", "0 3 * * *", "--timezone", "Mars"], "IANA"),
    "bad kind": (["schedule", "add", "n", "--catalog", "shop", "--cron", "0 3 * * *", "--kind", "magic"], "reindex"),
    "no such schedule": (["schedule", "run", "none"], "catalog schedule add"),
    "bad glob": (["ingest", ".", "--name", "other", "--include", "!"], "glob"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_clear_line(mistake: str, shop: tuple[Catalog, Path], tmp_path: Path) -> None:
    arguments, expected = MISTAKES[mistake]
    ran = shop[0].run(*arguments, cwd=tmp_path)
    assert_one_clear_line(ran, expected)


def assert_one_clear_line(ran: Ran, expected: str) -> None:
    assert ran.code != 0
    assert "Traceback" not in ran.err
    lines = ran.err.strip().splitlines()
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("error: ")
    assert expected in lines[0]
    assert ran.out == ""


def test_a_bad_setting_is_named(catalog: Catalog) -> None:
    ran = Catalog(home=catalog.home, bundle=catalog.bundle, environment={"CATALOG_THREADS": "many"}).run("list")
    assert_one_clear_line(ran, "CATALOG_THREADS")


def test_the_worker_runs_without_torch(catalog: Catalog, images: Path, tmp_path: Path) -> None:
    """A module that refuses to be imported stands in torch's place."""
    blocked = tmp_path / "blocked"
    for name in ("torch", "torchvision", "nncf"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ImportError('a worker must not import this')")
    plain = Catalog(home=catalog.home, bundle=catalog.bundle, environment={"PYTHONPATH": str(blocked)})
    assert plain.json("ingest", images, "--name", "shop")["indexed"] == 30
    assert plain.json("search", images / "001.jpg", "--name", "shop")["hits"]
    assert json.loads(plain.run("classify", images / "001.jpg", "--json").out)["category"]


def test_searching_and_a_second_ingest_work_while_the_first_one_runs(
    catalog: Catalog, tmp_path: Path, slow_bundle: Path
) -> None:
    folder = write_pictures(tmp_path / "many", MANY)
    slow = Catalog(home=catalog.home, bundle=slow_bundle, environment={"CATALOG_THREADS": "1"})
    first = slow.start("ingest", folder, "--name", "many", "--json")
    wait_until(lambda: finished(slow.home) > 0)
    second = slow.start("ingest", folder, "--name", "many", "--json")
    answer = slow.json("search", folder / "000.jpg", "--name", "many", "-k", "1")
    assert first.poll() is None, "the ingest ended before it could be searched"
    assert answer["hits"][0]["score"] == pytest.approx(1.0, abs=1e-3)
    reports = [json.loads(process.communicate(timeout=250)[0]) for process in (first, second)]
    assert [(r["job"], r["state"], r["indexed"]) for r in reports] == [(reports[0]["job"], "done", MANY)] * 2
    assert slow.json("list")["images"] == MANY


def test_cancel_from_elsewhere_stops_a_running_job(catalog: Catalog, tmp_path: Path, slow_bundle: Path) -> None:
    folder = write_pictures(tmp_path / "many", MANY)
    slow = Catalog(home=catalog.home, bundle=slow_bundle, environment={"CATALOG_THREADS": "1"})
    process = slow.start("ingest", folder, "--name", "many", "--json")
    wait_until(lambda: finished(slow.home) > 0)
    job = slow.json("status")["job"]
    slow.json("cancel", job)
    out, _ = process.communicate(timeout=200)
    assert (process.returncode, json.loads(out)["state"]) == (1, "cancelled")
    assert 0 < slow.json("list")["images"] < MANY
    assert slow.json("ingest", folder, "--name", "many")["state"] == "done"
    assert slow.json("list")["images"] == MANY
