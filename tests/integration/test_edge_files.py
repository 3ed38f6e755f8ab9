"""What the embedded engine leaves on disk: durable when acknowledged, swept when interrupted."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
import qdrant_edge as edge

from schemas.payload import PayloadChange, Tombstone
from tests.support import vectors as make
from workers.adapters.vector_index import edge_collection
from workers.adapters.vector_index.edge import EdgeIndex
from workers.adapters.vector_index.edge_shard import create_shard, open_shard
from workers.errors import ContractError, NotFoundError, TransientError

NAME = "shop--1"


def test_everything_is_there_after_opening_again(tmp_path: Path) -> None:
    with contextlib.closing(EdgeIndex(tmp_path)) as index:
        index.create(make.spec(NAME))
        index.point_alias("shop", NAME)
        index.upsert(NAME, make.points(range(100)))
    with contextlib.closing(EdgeIndex(tmp_path)) as index:
        assert index.resolve("shop") == NAME
        assert index.info(NAME).spec == make.spec(NAME)
        assert index.count(NAME) == 100
        with pytest.raises(ContractError, match="another description"):
            index.create(make.spec(NAME, model="b" * 64))


def test_payload_indexes_are_mapped_so_that_a_shard_opens_without_reading_them(tmp_path: Path) -> None:
    spec = make.spec(NAME)
    create_shard(tmp_path / "shard", spec)
    with contextlib.closing(open_shard(tmp_path / "shard")) as shard, shard.engine() as engine:
        found = engine.info().payload_schema
        assert {name: index.params.memory for name, index in found.items()} == {
            index.field: edge.Memory.Cached for index in spec.indexes
        }


def test_the_synced_log_alone_restores_what_was_acknowledged(tmp_path: Path) -> None:
    """A power failure may keep of the segments' files only what was flushed last; the log was synced."""
    before, after = tmp_path / "before", tmp_path / "after"
    index = EdgeIndex(before)
    index.create(make.spec(NAME))
    index.upsert(NAME, make.points(range(300)))
    index.settle(NAME)
    shutil.copytree(before, after)
    index.upsert(NAME, make.points(range(200, 500), version=2, seed=7))
    index.change_payload(NAME, [PayloadChange(id=make.point_id(0), version=2, fields={"brand": "changed"})])
    index.delete(NAME, [Tombstone(id=make.point_id(1), version=2)])
    shard = Path("collections", NAME, "shard-000001", "wal")
    shutil.rmtree(after / shard)
    shutil.copytree(before / shard, after / shard)
    with contextlib.closing(EdgeIndex(after)) as restored:
        assert restored.count(NAME) == 499
        everyone = [make.point_id(n) for n in range(500)]
        expected = {record.id: record.payload for record in index.retrieve(NAME, everyone)}
        assert {record.id: record.payload for record in restored.retrieve(NAME, everyone)} == expected
    index.close()


def test_flushing_now_and_then_keeps_the_log_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_collection, "FLUSH_AFTER", 2_000)
    with contextlib.closing(EdgeIndex(tmp_path)) as index:
        index.create(make.spec(NAME, dimension=512))
        for version in range(1, 9):
            index.upsert(NAME, make.points(range(4_000), 512, version=version))
        log = tmp_path / "collections" / NAME / "shard-000001" / "wal"
        assert sum(file.stat().st_size for file in log.iterdir()) < 110_000_000  # unflushed: 160 MB
        assert index.count(NAME) == 4_000


def test_left_overs_are_swept_and_the_rest_stays(tmp_path: Path) -> None:
    with contextlib.closing(EdgeIndex(tmp_path)) as index:
        index.create(make.spec(NAME))
        index.upsert(NAME, make.points(range(10)))
    root = tmp_path / "collections"
    orphans = [
        root / ".new-shop--2" / "shard-000001" / "segments",
        root / ".dropped-shop--3" / "shard-000001",
        root / NAME / "shard-000002" / "segments",
        root / NAME / "shard-000001" / "temp_segments" / "half",
    ]
    for orphan in orphans:
        orphan.mkdir(parents=True)
        (orphan / "file").write_bytes(b"x")
    (root / NAME / "CURRENT.tmp").write_bytes(b"shard-0000")
    with contextlib.closing(EdgeIndex(tmp_path)) as index:
        assert index.count(NAME) == 10
        assert not any((orphan / "file").exists() for orphan in orphans)
        assert {entry.name for entry in root.iterdir()} == {NAME}
        assert {entry.name for entry in (root / NAME).iterdir()} == {
            "collection.json",
            "CURRENT",
            "state.json",
            "shard-000001",
        }


def test_one_process_owns_the_folder_at_a_time(tmp_path: Path) -> None:
    first = EdgeIndex(tmp_path)
    with pytest.raises(TransientError, match="another process"):
        EdgeIndex(tmp_path)
    first.close()
    first.close()
    with pytest.raises(TransientError, match="closed"):
        first.count(NAME)
    EdgeIndex(tmp_path).close()


@pytest.mark.parametrize("name", ["..", ".new-shop--1", "", "a/b", "../collections"])
def test_a_name_that_leads_elsewhere_is_no_collection(tmp_path: Path, name: str) -> None:
    with contextlib.closing(EdgeIndex(tmp_path)) as index, pytest.raises(NotFoundError):
        index.count(name)
