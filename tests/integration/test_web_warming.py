"""A server's models are at hand before the first picture comes."""

from __future__ import annotations

from pathlib import Path

from tests.support.bundles import write_bundle
from workers.adapters.bundle import load_bundle
from workers.bootstrap import Process
from workers.settings import load_settings
from workers.web.warming import warm_up


def test_the_models_that_catalogs_answer_with_are_loaded(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "bundle"))
    with Process(load_settings(home=tmp_path / "home")) as process:
        process.keep_bundle(bundle)
        _catalog(process, "shop", bundle.card.digest)
        warm_up(process)
        assert process.query_batches() == {1: 1}


def test_a_model_that_is_gone_keeps_nobody_from_serving(tmp_path: Path) -> None:
    with Process(load_settings(home=tmp_path / "home")) as process:
        _catalog(process, "shop", "e" * 64)
        warm_up(process)
        assert process.query_batches() == {}


def _catalog(process: Process, name: str, digest: str) -> None:
    process.ledger.ensure_catalog(name, source_url="file:///nowhere/")
    made = process.ledger.add_generation(name, model_digest=digest)
    process.ledger.activate(name, made.number)
