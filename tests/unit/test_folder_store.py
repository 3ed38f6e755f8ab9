"""What only a folder can do to an indexer: links, pipes, odd names, files that change under our hands."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.outcomes import Reason
from workers.adapters.object_store import open_store
from workers.adapters.object_store.folder import FolderObjectStore, seconds_until_settled
from workers.errors import ConfigurationError, ItemError, TransientError

LIMIT = 1_000_000
NOBODY = 65_534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "catalog"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"x")
    return root


def keys_of(store: FolderObjectStore) -> list[str]:
    return [found.key for found in store.list()]


def reason_of(store: FolderObjectStore, key: str) -> Reason:
    with pytest.raises(ItemError) as caught:
        store.get(key, max_bytes=LIMIT)
    return caught.value.reason


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def as_nobody() -> Iterator[None]:
    """Let the file system see an ordinary user in this thread: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.setfsuid(NOBODY)
    try:
        yield
    finally:
        libc.setfsuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that an ordinary user reaches, unlike pytest's own."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    (root / "a.jpg").write_bytes(b"x")
    yield root
    for path in root.iterdir():
        path.chmod(0o755)
    shutil.rmtree(root)


# ------------------------------------------------------------------------------------------------------------- links


def test_links_are_neither_listed_nor_followed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"secret")
    (folder / "file.jpg").symlink_to(outside / "secret.jpg")
    (folder / "inside.jpg").symlink_to(folder / "a.jpg")
    (folder / "dangling.jpg").symlink_to(folder / "nothing")
    (folder / "folder").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    store = FolderObjectStore(folder)
    assert keys_of(store) == ["a.jpg"]
    assert store.skipped == {"symbolic_link": 5}
    assert reason_of(store, "file.jpg") is Reason.ACCESS_DENIED
    assert reason_of(store, "inside.jpg") is Reason.ACCESS_DENIED
    assert reason_of(store, "folder/secret.jpg") is Reason.VANISHED
    assert reason_of(store, "loop/a.jpg") is Reason.VANISHED


def test_the_folder_itself_may_be_named_through_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    store = FolderObjectStore(tmp_path / "link")
    assert store.url == folder.as_uri()
    assert keys_of(store) == ["a.jpg"]


def test_a_folder_replaced_by_a_link_between_listing_and_reading(folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "b.jpg").write_bytes(b"b")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.jpg").write_bytes(b"secret")
    store = FolderObjectStore(folder)
    listing = store.list()
    assert next(listing).key == "a.jpg"
    shutil.rmtree(folder / "sub")
    (folder / "sub").symlink_to(outside)
    assert list(listing) == []
    assert reason_of(store, "sub/b.jpg") is Reason.VANISHED


def test_an_absolute_path_is_refused_as_one(folder: Path) -> None:
    store = FolderObjectStore(folder)
    for key in ("/etc/passwd", str(folder / "a.jpg"), "sub//a.jpg"):
        assert reason_of(store, key) is Reason.ACCESS_DENIED


# ----------------------------------------------------------------------------------------------------- special files


def test_special_files_are_counted_and_never_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe.jpg")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jpg")
        store = FolderObjectStore(folder)
        assert keys_of(store) == ["a.jpg"]
        assert store.skipped == {"special_file": 2}
        assert reason_of(store, "pipe.jpg") is Reason.VANISHED
        assert reason_of(store, "socket.jpg") is Reason.VANISHED


def test_devices_are_not_read() -> None:
    assert reason_of(FolderObjectStore("/dev"), "zero") is Reason.VANISHED


# -------------------------------------------------------------------------------------------------------------- names


def test_a_line_break_in_a_name_disturbs_nobody(folder: Path) -> None:
    names = ["b\nc.jpg", "b\tc.jpg", "b\x7f.jpg", "b\x01.jpg", "c\r.jpg"]
    for name in names:
        (folder / name).write_bytes(name.encode())
    store = FolderObjectStore(folder)
    assert keys_of(store) == sorted(["a.jpg", *names])
    assert all(store.get(name, max_bytes=LIMIT).data == name.encode() for name in names)


def test_names_that_are_no_text_are_counted(folder: Path) -> None:
    root = os.fsencode(folder)
    Path(os.fsdecode(root + b"/b\xff.jpg")).write_bytes(b"x")
    Path(os.fsdecode(root + b"/d\xff")).mkdir()
    Path(os.fsdecode(root + b"/d\xff/x.jpg")).write_bytes(b"x")
    (folder / "z.jpg").write_bytes(b"x")
    store = FolderObjectStore(folder)
    assert keys_of(store) == ["a.jpg", "z.jpg"]
    assert store.skipped == {"name_not_utf8": 2}


def test_empty_folders_list_nothing(folder: Path) -> None:
    (folder / "0").mkdir()
    (folder / "b" / "c" / "d").mkdir(parents=True)
    assert keys_of(FolderObjectStore(folder)) == ["a.jpg"]


def test_a_very_deep_folder_ends_where_keys_end(folder: Path) -> None:
    depth, opened = 0, os.open(folder, os.O_RDONLY)
    try:
        while depth < 2_500:
            os.mkdir("d", dir_fd=opened)
            below = os.open("d", os.O_RDONLY, dir_fd=opened)
            os.close(opened)
            opened, depth = below, depth + 1
            if depth in {400, 2_500}:
                os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=opened))
    finally:
        os.close(opened)
    store = FolderObjectStore(folder)
    deep = "d/" * 400 + "x.jpg"
    assert keys_of(store) == ["a.jpg", deep]
    assert store.get(deep, max_bytes=LIMIT).data == b""
    assert store.skipped == {"key_too_long": 1}
    _remove_deep(folder)


def _remove_deep(folder: Path) -> None:
    """Take the chain of folders apart from above; its full path is longer than the kernel takes."""
    while (folder / "d" / "d").exists():
        (folder / "d").rename(folder / "old")
        (folder / "old" / "d").rename(folder / "d")
        shutil.rmtree(folder / "old")


# ------------------------------------------------------------------------------------------------------------ changes


def test_a_rewrite_shows_even_when_its_time_is_restored(folder: Path) -> None:
    store = FolderObjectStore(folder)
    before = store.get("a.jpg", max_bytes=LIMIT)
    status = (folder / "a.jpg").stat()
    with (folder / "a.jpg").open("r+b") as file:
        file.write(b"y")
    os.utime(folder / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    after = store.get("a.jpg", max_bytes=LIMIT)
    assert (after.data, after.size, after.modified) == (b"y", before.size, before.modified)
    assert after.etag != before.etag
    assert [found.etag for found in store.list()] == [after.etag]


def test_a_replacement_with_the_same_size_and_time_shows(folder: Path, tmp_path: Path) -> None:
    os.utime(folder / "a.jpg", ns=(0, 0))
    store = FolderObjectStore(folder)
    before = store.get("a.jpg", max_bytes=LIMIT)
    (tmp_path / "new.jpg").write_bytes(b"y")
    os.utime(tmp_path / "new.jpg", ns=(0, 0))
    (tmp_path / "new.jpg").rename(folder / "a.jpg")
    after = store.get("a.jpg", max_bytes=LIMIT)
    assert (after.data, after.modified) == (b"y", datetime(1970, 1, 1, tzinfo=UTC))
    assert after.etag != before.etag


def test_a_fresh_file_is_read_only_when_its_times_can_tell_the_next_write() -> None:
    assert seconds_until_settled(changed_ns=0, now_ns=5_000_000) == pytest.approx(0.015)
    assert seconds_until_settled(changed_ns=0, now_ns=20_000_000) == 0.0
    assert seconds_until_settled(changed_ns=10**18, now_ns=0) == 0.0


def test_times_before_1970_are_times(folder: Path) -> None:
    os.utime(folder / "a.jpg", ns=(-(10**18), -(10**18)))
    (listed,) = FolderObjectStore(folder).list()
    assert listed.modified.year == 1938


class Rewriter:
    """Stands in for `os.read`: gives half of what is asked for, and has the file rewritten before the next half."""

    def __init__(self, path: Path, *, times: int) -> None:
        self._path, self._left, self._read = path, times, os.read

    def __call__(self, file: int, size: int) -> bytes:
        data = self._read(file, size // 2 or 1)
        if self._left:
            self._left -= 1
            with self._path.open("r+b") as writer:
                writer.write(str(self._left % 10).encode() * self._path.stat().st_size)
        return data


def test_no_mixture_of_two_states_is_ever_handed_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.jpg").write_bytes(b"x" * 1000)
    monkeypatch.setattr(os, "read", Rewriter(folder / "a.jpg", times=1))
    store = FolderObjectStore(folder)
    fetched = store.get("a.jpg", max_bytes=LIMIT)
    assert fetched.data == b"0" * 1000
    assert [found.etag for found in store.list()] == [fetched.etag]


def test_a_file_that_never_rests_is_left_for_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.jpg").write_bytes(b"x" * 1000)
    monkeypatch.setattr(os, "read", Rewriter(folder / "a.jpg", times=1000))
    with pytest.raises(TransientError, match="keeps changing"):
        FolderObjectStore(folder).get("a.jpg", max_bytes=LIMIT)


def test_a_file_that_shrinks_while_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.jpg").write_bytes(b"x" * 1000)
    real = os.read

    def read_after_a_cut(file: int, size: int) -> bytes:
        if (folder / "a.jpg").stat().st_size > 10:
            os.truncate(folder / "a.jpg", 10)
        return real(file, size)

    monkeypatch.setattr(os, "read", read_after_a_cut)
    assert FolderObjectStore(folder).get("a.jpg", max_bytes=LIMIT).size == 10


def test_a_file_replaced_while_it_is_open_is_one_or_the_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.jpg").write_bytes(b"old" * 1000)
    (folder.parent / "new.jpg").write_bytes(b"new" * 1000)
    swapped: list[Path] = []
    real = os.read

    def read_after_a_swap(file: int, size: int) -> bytes:
        if not swapped:
            swapped.append((folder.parent / "new.jpg").rename(folder / "a.jpg"))
        return real(file, size)

    monkeypatch.setattr(os, "read", read_after_a_swap)
    store = FolderObjectStore(folder)
    first = store.get("a.jpg", max_bytes=LIMIT)
    assert swapped
    assert first.data in {b"old" * 1000, b"new" * 1000}
    (listed,) = store.list()
    assert (first.etag == listed.etag) == (first.data == b"new" * 1000)


def test_files_and_folders_may_vanish_while_they_are_listed(folder: Path) -> None:
    for name in ("b", "c"):
        (folder / name).mkdir()
        (folder / name / "1.jpg").write_bytes(b"x")
    (folder / "d.jpg").write_bytes(b"x")
    (folder / "e.jpg").write_bytes(b"x")
    listing = FolderObjectStore(folder).list()
    assert next(listing).key == "a.jpg"
    shutil.rmtree(folder / "b")
    (folder / "d.jpg").unlink()
    assert [found.key for found in listing] == ["c/1.jpg", "e.jpg"]


def test_a_folder_may_turn_into_a_file_and_back(folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "1.jpg").write_bytes(b"x")
    (folder / "c.jpg").write_bytes(b"x")
    store = FolderObjectStore(folder)
    listing = store.list()
    assert next(listing).key == "a.jpg"
    shutil.rmtree(folder / "b")
    (folder / "b").write_bytes(b"x")
    (folder / "c.jpg").unlink()
    (folder / "c.jpg").mkdir()
    assert list(listing) == []
    assert keys_of(store) == ["a.jpg", "b"]
    assert reason_of(store, "c.jpg") is Reason.VANISHED


# -------------------------------------------------------------------------------------------------------- permissions


def test_an_unreadable_file_is_listed_and_refused_by_name(open_folder: Path) -> None:
    (open_folder / "a.jpg").chmod(0o000)
    store = FolderObjectStore(open_folder)
    with as_nobody():
        assert keys_of(store) == ["a.jpg"]
        assert reason_of(store, "a.jpg") is Reason.ACCESS_DENIED


def test_an_unreadable_sub_folder_ends_the_listing_instead_of_looking_empty(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o700)
    (open_folder / "closed" / "b.jpg").write_bytes(b"x")
    if os.geteuid() != 0:
        (open_folder / "closed").chmod(0o000)
    store = FolderObjectStore(open_folder)
    with as_nobody():
        with pytest.raises(ConfigurationError, match=r"closed.*Permission denied.*owner and mode"):
            keys_of(store)
        assert reason_of(store, "closed/b.jpg") is Reason.ACCESS_DENIED


# --------------------------------------------------------------------------------------------------------- the folder


def test_a_missing_folder_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere.*does not exist"):
        open_store(str(tmp_path / "nowhere"))


def test_a_file_instead_of_a_folder_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"a\.jpg.*is a file, not a folder"):
        open_store(str(folder / "a.jpg"))


def test_a_folder_that_goes_away_is_no_empty_catalog(folder: Path) -> None:
    store = FolderObjectStore(folder)
    folder.rename(folder.with_name("moved"))
    with pytest.raises(ConfigurationError, match="does not exist"):
        keys_of(store)
    with pytest.raises(ConfigurationError, match="does not exist"):
        store.get("a.jpg", max_bytes=LIMIT)


def test_every_spelling_of_a_folder_has_one_url(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = folder / "caf\u00e9 100% #1?"
    odd.mkdir()
    monkeypatch.chdir(folder)
    spellings = [str(odd), f"{odd}/", f"{odd}/../{odd.name}", odd.name, odd.as_uri(), f"{odd.as_uri()}/"]
    spellings.append(odd.as_uri().replace("file://", "file://localhost"))
    assert {open_store(spelling).url for spelling in spellings} == {odd.as_uri()}


def test_a_folder_whose_name_is_no_text_can_be_a_source(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    root.mkdir()
    (root / "a.jpg").write_bytes(b"x")
    store = open_store(str(root))
    store.url.encode("ascii")
    assert [found.key for found in open_store(store.url).list()] == ["a.jpg"]


def test_no_descriptor_stays_open(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "b.jpg").write_bytes(b"x")
    (folder / "link.jpg").symlink_to(folder / "a.jpg")
    store = FolderObjectStore(folder)
    before = open_descriptors()
    for _ in range(5):
        next(store.list())
        assert len(keys_of(store)) == 2
        for key in ("sub/b.jpg", "none.jpg", "sub", "sub/none/x.jpg", "link.jpg", "a.jpg/x"):
            with suppress(ItemError):
                store.get(key, max_bytes=LIMIT)
    assert open_descriptors() == before


def test_a_listing_holds_names_of_the_folders_on_its_way_only(folder: Path) -> None:
    for group in range(40):
        (folder / f"{group:02d}").mkdir()
        for i in range(250):
            (folder / f"{group:02d}" / f"{'n' * 80}{i:04d}.jpg").touch()
    store = FolderObjectStore(folder)
    sum(1 for _ in store.list())
    tracemalloc.start()
    try:
        assert sum(1 for _ in store.list()) == 10_001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 600_000  # 250 names and one page of 250 objects; all 10,000 would be 4 MB


@pytest.mark.parametrize("cut", range(4))
def test_a_listing_in_two_parts_counts_no_link_twice(folder: Path, cut: int) -> None:
    """The first part looks one object ahead, as a merge with other sorted rows does."""
    (folder / "c").mkdir()
    for name in ("a0", "a1", "b0", "c0", "c/0", "c/2", "d"):
        (folder / name).symlink_to("nowhere")
    for name in ("b.jpg", "b1.jpg", "c/1.jpg", "c/3.jpg"):
        (folder / name).write_bytes(b"x")
    os.mkfifo(folder / "b2")
    store = FolderObjectStore(folder)
    keys = keys_of(store)
    everything = dict(store.skipped)
    assert everything == {"symbolic_link": 7, "special_file": 1}
    listing = store.list()
    for _ in range(cut + 2):
        next(listing, None)
    first = Counter(store.skipped)
    assert [found.key for found in store.list(after=keys[cut])] == keys[cut + 1 :]
    assert first + Counter(store.skipped) == everything
    assert list(store.list(after="e")) == []
    assert store.skipped == {}
