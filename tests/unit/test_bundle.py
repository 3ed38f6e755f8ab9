"""A bundle is accepted only as its card describes it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from schemas.model_card import (
    CARD_FILE,
    DIGESTED_FILES,
    CategoryHead,
    Graph,
    Heads,
    ModelCard,
    Preprocessing,
    Provenance,
    bundle_digest,
)
from schemas.taxonomy import TAXONOMY_VERSION, Category
from workers.adapters.bundle import compute_digest, default_bundle, load_bundle
from workers.errors import ContractError

MAX_BUNDLE_BYTES = 40 * 1024 * 1024


def card_for(folder: Path, *, temperature: float = 1.0, name: str = "made") -> ModelCard:
    preprocessing = Preprocessing(input_size=64)
    heads = Heads(category=CategoryHead(labels=("hat", "shoes"), temperature=temperature))
    digests = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in DIGESTED_FILES}
    return ModelCard(
        name=name,
        digest=bundle_digest(digests, preprocessing, heads),
        architecture="resnet18",
        embedding_size=8,
        taxonomy_version=TAXONOMY_VERSION,
        preprocessing=preprocessing,
        heads=heads,
        graph=Graph(precision="f32"),
        provenance=Provenance(recipe="made", config_digest="0" * 64, data=()),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in DIGESTED_FILES:
        (tmp_path / name).write_bytes(b"contents of " + name.encode())
    (tmp_path / CARD_FILE).write_text(card_for(tmp_path).model_dump_json())
    return tmp_path


def test_a_whole_bundle_loads(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.card == card_for(folder)
    assert bundle.card.digest == compute_digest(folder)
    assert bundle.graph == folder / "model.xml"


@pytest.mark.parametrize("name", DIGESTED_FILES)
def test_one_changed_byte_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[0] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ContractError, match="not what its card says"):
        load_bundle(folder)


@pytest.mark.parametrize("name", [CARD_FILE, *DIGESTED_FILES])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ContractError, match=f"{name} missing"):
        load_bundle(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no model bundle"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"temperature":1.0', '"temperature":2.0', "not what its card says"),
        ('["hat","shoes"]', '["shoes","hat"]', "not what its card says"),
        ('"input_size":64', '"input_size":96', "not what its card says"),
        ('"schema_version":1', '"schema_version":2', "schema_version"),
        ('"input_size":64', '"input_size":"big"', "preprocessing.input_size"),
        ('"name":"made"', '"name":"made","extra":1', "extra"),
        ("{", "", "no valid model card"),
    ],
)
def test_a_card_that_was_changed_is_refused(folder: Path, old: str, new: str, said: str) -> None:
    text = (folder / CARD_FILE).read_text()
    assert old in text
    (folder / CARD_FILE).write_text(text.replace(old, new, 1))
    with pytest.raises(ContractError, match=said):
        load_bundle(folder)


def test_words_on_the_card_do_not_change_the_digest(folder: Path) -> None:
    (folder / CARD_FILE).write_text(card_for(folder, name="renamed").model_dump_json())
    assert load_bundle(folder).card.name == "renamed"


def test_the_default_bundle_is_whole_small_and_honest() -> None:
    bundle = default_bundle()
    card = bundle.card
    assert card.heads.category is not None
    assert card.heads.category.labels == tuple(c.value for c in Category)
    assert (card.heads.attributes, card.heads.box) == (None, None), "nothing was trained for them"
    assert sum(path.stat().st_size for path in bundle.folder.iterdir()) <= MAX_BUNDLE_BYTES
    assert not [p.name for p in bundle.folder.iterdir() if p.suffix in {".pkl", ".pt", ".pth"}]
    served = card.metric("top1", f"openvino-{card.graph.precision}")
    exact = card.metric("top1", "torch-float32")
    assert served is not None
    assert exact is not None
    assert served.value >= 0.80
    assert served.low is not None
    assert any("CC0" in licence for licence in card.provenance.licences)
