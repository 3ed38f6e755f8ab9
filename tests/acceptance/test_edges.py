"""The command at the edges of a machine: odd file names, closed or full output, a lost index, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import write_pictures
from tests.support.commands import Catalog
from tests.support.workshops import picture

ODD_NAME = b"odd-\xff.jpg"


@pytest.fixture(scope="module")
def odd_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(os.fsdecode(os.fsencode(tmp_path_factory.mktemp("odd")) + b"/" + ODD_NAME))
    path.write_bytes(picture(4))
    return path


def shell(catalog: Catalog, script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`script` run by a shell, in which `catalog "$@"` is the command with the arguments."""
    return subprocess.run(
        [
            "/bin/bash",
            "-c",
            f'catalog() {{ {sys.executable} -m workers "$@"; }}; {script}',
            "bash",
            *map(str, arguments),
        ],
        env={**os.environ, "CATALOG_HOME": str(catalog.home), "CATALOG_MODEL": str(catalog.bundle)},
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def test_a_file_name_that_is_no_text_is_spelled_in_json(catalog: Catalog, odd_picture: Path) -> None:
    ran = catalog.run("classify", odd_picture, odd_picture.with_name(odd_picture.name + "x"), "--json")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    seen, missing = ran.objects
    assert seen["image"].endswith("/odd-\\xff.jpg")
    assert seen["category"]
    assert missing["error"]["detail"].endswith("odd-\\xff.jpgx")


def test_a_file_name_that_is_no_text_is_spelled_for_people(catalog: Catalog, odd_picture: Path) -> None:
    ran = catalog.run("classify", odd_picture)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.strip().endswith("/odd-\\xff.jpg")


def test_search_takes_a_file_name_that_is_no_text(shop: tuple[Catalog, Path], odd_picture: Path) -> None:
    answer = shop[0].json("search", odd_picture, "--name", "shop", "-k", "1")
    assert answer["hits"][0]["key"] == "004.jpg"
    for arguments in (["search", f"{odd_picture}x"], ["search", "--key", os.fsdecode(ODD_NAME)]):
        ran = shop[0].run(*arguments, "--name", "shop")
        assert ran.code == 1
        assert ran.err.startswith("error: ")
        assert len(ran.err.splitlines()) == 1


def test_nobody_reads_what_is_printed(shop: tuple[Catalog, Path]) -> None:
    catalog, _ = shop
    closed = shell(catalog, 'catalog "$@" >&-; echo "code $?"', "list", "--json")
    assert (closed.stdout, closed.stderr) == ("code 0\n", "")
    gone = shell(catalog, 'catalog "$@" | true', "browse", "--name", "shop", "--json")
    assert gone.stderr == ""
    gone = shell(catalog, 'catalog "$@" | true', "browse", "--name", "shop")
    assert gone.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_output_that_finds_no_room_is_one_clear_line(shop: tuple[Catalog, Path], options: list[str]) -> None:
    ran = shell(shop[0], 'catalog "$@" >/dev/full; echo "code $?"', "list", *options)
    assert (ran.stdout, ran.stderr) == ("code 1\n", "error: No space left on device\n")


def test_offset_is_bounded_by_what_the_index_takes(shop: tuple[Catalog, Path]) -> None:
    assert shop[0].json("search", "--key", "001.jpg", "--name", "shop", "--offset", "10000")["hits"] == []
    ran = shop[0].run("search", "--key", "001.jpg", "--name", "shop", "--offset", "10001")
    assert ran.code == 2
    assert "--offset" in ran.err


def test_one_lost_index_does_not_hide_the_other_catalogs(catalog: Catalog, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "few", 3)
    catalog.json("ingest", folder, "--name", "lost")
    catalog.json("ingest", folder, "--name", "whole")
    lost = next(row["collection"] for row in catalog.run("list", "--json").objects if row["catalog"] == "lost")
    forget(catalog, lost)
    rows = {row["catalog"]: row for row in catalog.run("list", "--json").objects}
    assert {name: row["images"] for name, row in rows.items()} == {"lost": None, "whole": 3}
    cure = "catalog reindex --name lost"
    assert rows["lost"]["problem"] == f"index missing; cure: {cure}"
    assert f"lost: index missing; cure: {cure}\n" in catalog.run("list").out
    doctor = catalog.run("doctor", "--json")
    assert doctor.code == 1
    failed = [check for check in doctor.objects if not check["ok"]]
    assert [check["check"] for check in failed] == ["index"]
    assert cure in failed[0]["detail"]


def forget(catalog: Catalog, collection: str) -> None:
    """Lose a collection, as a home that was restored without it."""
    from workers.adapters.vector_index.client import SocketIndex

    index = SocketIndex(catalog.home)
    try:
        index.drop(collection)
    finally:
        index.close()
