"""A local folder as an object store, straight on the system calls.

obstore's local store is not used: it lists in no order, one file name with a line break ends its whole listing, it
follows links out of the folder, waits for ever on a FIFO, and its ETag misses a file rewritten with its time restored.
"""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from schemas.outcomes import Reason
from workers.adapters.object_store.faults import Place, from_os
from workers.adapters.object_store.keys import MAX_KEY_BYTES, check_key
from workers.adapters.object_store.skips import SkipReason, Skips, counts
from workers.errors import ConfigurationError, ItemError, TransientError
from workers.ports import Fetched, Listed

_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _SEARCH | os.O_NOFOLLOW
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
"""O_NONBLOCK: opening a FIFO nobody writes to returns at once; regular files do not care."""

_PAGE_FILES = 1000
_READ_ATTEMPTS = 3
_TICK_NS = 20_000_000
"""Before Linux 6.13 file times advance with the kernel's tick, 10 ms at the most common slow setting; twice that."""

_LATEST, _EARLIEST = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)

_Names = list[bytes]
_Page = list[Listed | SkipReason]


@dataclass(frozen=True, slots=True)
class _Level:
    """A folder on the way down: its path from the root, "" or ending with "/", and the names still to come, last first.

    A folder's name ends with "/": in byte order "a.jpg" comes before "a/b.jpg", as '.' is less than '/'.
    """

    path: bytes
    names: _Names
    obstacles: dict[bytes, SkipReason] = field(default_factory=dict)
    """Those of the names that cannot be listed. They keep their place in the order, to be counted at their turn."""


class FolderObjectStore:
    """Every regular file below a folder. Links are never followed, not even half-way through a path.

    A listing holds the names of the folders on its way, nothing else: some 100 bytes a file of the largest folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._root = Path(os.path.realpath(folder))
        self._place = self._place_of(b"")
        self._skips: Skips = Counter()
        os.close(self._open_root())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        """See the port: `file://` and the absolute path, links in it resolved."""
        return self._root.as_uri()

    @property
    def skipped(self) -> Mapping[str, int]:
        """How much the latest listing left out before the object it handed out last, by `SkipReason`.

        At its end: everything behind `after`. So a listing cut off there and gone on with elsewhere counts nothing twice.
        """
        return counts(self._skips)

    def presign(self, key: str, *, expires_s: float) -> str | None:
        """See the port: None, a folder has no URL that others could read."""
        check_key(key)
        return None

    def close(self) -> None:
        """Nothing is held between calls."""

    # ------------------------------------------------------------------------------------------------------ listing

    def list(self, *, after: str | None = None) -> Iterator[Listed]:
        """See the port. A sub-folder that cannot be read ends the listing: its images must not look deleted.

        Raises:
            ConfigurationError: the folder is gone, or a folder in it must not be read.
            TransientError: the file system does not answer.
        """
        self._skips = Counter()
        passed: Skips = Counter()
        for found in self._walk(os.fsencode(after) if after is not None else b""):
            if isinstance(found, SkipReason):
                passed[found] += 1
                continue
            yield found
            if passed:  # not before `found` is done with: who goes on behind its predecessor meets them again
                self._skips.update(passed)
                passed.clear()
        self._skips.update(passed)

    def _walk(self, behind: bytes) -> Iterator[Listed | SkipReason]:
        """Files, and in place of what cannot be listed the reason, in key order."""
        with self._spoken(self._place):
            levels = [self._level(b"", behind)]
        while levels:
            level = levels[-1]
            if not level.names:
                levels.pop()
            elif (reason := level.obstacles.get(level.names[-1])) is not None:
                level.names.pop()
                yield reason
            elif level.names[-1].endswith(b"/"):
                path = level.path + level.names.pop()
                with self._spoken(self._place_of(path)):
                    levels.append(self._level(path, behind))
            else:
                with self._spoken(self._place_of(level.path)):
                    page = self._page(level)
                yield from page

    def _level(self, path: bytes, behind: bytes) -> _Level:
        """The folder's names, in falling order, without what lies before `behind`."""
        level = _Level(path, [])
        try:
            folder = self._open_folder(path, _LIST)
        except (FileNotFoundError, NotADirectoryError):
            return level
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name) + (b"/" if entry.is_dir(follow_symlinks=False) else b"")
                    if not _concerns(path + name, behind):
                        continue
                    level.names.append(name)
                    if (reason := _obstacle(entry, path + name)) is not None:
                        level.obstacles[name] = reason
        finally:
            os.close(folder)
        level.names.sort(reverse=True)
        return level

    def _page(self, level: _Level) -> _Page:
        """The next files of the level, up to the next folder; files that are gone by now are left out."""
        try:
            folder = self._open_folder(level.path, _BELOW)
        except (FileNotFoundError, NotADirectoryError):
            level.names.clear()
            return []
        prefix, names = level.path.decode(), level.names
        page: _Page = []
        try:
            while names and len(page) < _PAGE_FILES and not names[-1].endswith(b"/"):
                name = names.pop()
                if (reason := level.obstacles.get(name)) is not None:
                    page.append(reason)
                    continue
                try:
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    page.append(_listed(prefix + name.decode(), status))
        finally:
            os.close(folder)
        return page

    # ------------------------------------------------------------------------------------------------------ reading

    def stat(self, key: str) -> Listed:
        """See the port. A file that changes while it is written has another ETag when it is read."""
        folder, name = self._place_of_key(key)
        with self._spoken(self._place, key):
            here = self._open_folder(folder, _BELOW)
            try:
                status = os.stat(name, dir_fd=here, follow_symlinks=False)
            finally:
                os.close(here)
        if not stat.S_ISREG(status.st_mode):
            raise ItemError(Reason.VANISHED, f"{key!r} in {self._place.name} is no regular file")
        return _listed(key, status)

    def get(self, key: str, *, max_bytes: int) -> Fetched:
        """See the port. The bytes are those of one state of the file: one that changes meanwhile is read again."""
        folder, name = self._place_of_key(key)
        for _ in range(_READ_ATTEMPTS):
            with self._spoken(self._place, key), self._opened(folder, name) as file:
                fetched = self._read(file, key, max_bytes)
            if fetched is not None:
                return fetched
        raise TransientError(f"{key!r} in {self._place.name} keeps changing while it is read")

    def _place_of_key(self, key: str) -> tuple[bytes, bytes]:
        """The folder of a key, "" or ending with "/", and the name in it."""
        check_key(key)
        if key.startswith("/") or "//" in key:
            raise ItemError(Reason.ACCESS_DENIED, f"the key {key!r} is no path below {self._place.name} and is refused")
        folder, slash, name = key.encode().rpartition(b"/")
        return folder + slash, name

    def _read(self, file: int, key: str, max_bytes: int) -> Fetched | None:
        """The whole file, or None when it changed under our hands."""
        before = os.fstat(file)
        if not stat.S_ISREG(before.st_mode):
            raise ItemError(Reason.VANISHED, f"{key!r} in {self._place.name} is no regular file any more")
        if before.st_size > max_bytes:
            raise ItemError(Reason.TOO_LARGE, f"{key!r} has {before.st_size} bytes; the limit is {max_bytes}")
        if fresh_s := seconds_until_settled(before.st_ctime_ns, time.time_ns()):
            time.sleep(fresh_s)
            before = os.fstat(file)
        data = _read_exactly(file, min(before.st_size, max_bytes))
        after = os.fstat(file)
        if len(data) != before.st_size or etag_of(after) != etag_of(before):
            return None
        return Fetched(key=key, data=data, etag=etag_of(after), size=len(data), modified=_modified(after))

    # ------------------------------------------------------------------------------------------------------ opening

    def _open_root(self) -> int:
        """A descriptor of the folder itself.

        Raises:
            ConfigurationError: it is gone, no folder, or closed to us.
            TransientError: its file system does not answer.
        """
        try:
            return os.open(self._root, _SEARCH)
        except NotADirectoryError as error:
            raise ConfigurationError(
                f"{str(self._root)!r} is a file, not a folder; name the folder that holds the images"
            ) from error
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"the folder {str(self._root)!r} does not exist; check the path, and that its disk is mounted"
            ) from error
        except OSError as error:
            raise from_os(error, self._place, key=None) from error

    def _open_folder(self, path: bytes, flags: int) -> int:
        """A descriptor of the folder at `path` ("" or ending with "/"), reached step by step without any link."""
        here = self._open_root()
        steps = path.split(b"/")[:-1] or [b"."]
        for depth, step in enumerate(steps, start=1):
            try:
                below = os.open(step, flags if depth == len(steps) else _BELOW, dir_fd=here)
            finally:
                os.close(here)
            here = below
        return here

    @contextmanager
    def _opened(self, folder: bytes, name: bytes) -> Iterator[int]:
        """A descriptor of the file `name`, for as long as the block runs."""
        here = self._open_folder(folder, _BELOW)
        try:
            file = os.open(name, _READ, dir_fd=here)
        finally:
            os.close(here)
        try:
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _spoken(self, place: Place, key: str | None = None) -> Iterator[None]:
        """Turn what the file system raises inside the block into the errors that the port promises."""
        try:
            yield
        except OSError as error:
            raise from_os(error, place, key=key) from error

    def _place_of(self, path: bytes) -> Place:
        """The folder at `path`, as error texts name it."""
        return Place(name=f"the folder {str(self._root / os.fsdecode(path))!r}", credentials="its owner and mode")


def etag_of(status: os.stat_result) -> str:
    """Size, time of the last write and time of the last change of any kind.

    The last one, which no program can set, tells a file rewritten with its time restored (as tools that turn
    photographs do) or replaced out of an archive with fixed times. A changed owner or mode changes it too and costs
    one more read, no embedding. The inode is left out: network and overlay file systems make it up anew.
    """
    return f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


def seconds_until_settled(changed_ns: int, now_ns: int) -> float:
    """How long to wait until another write to the file is sure to give it another time of change; mostly 0.

    A time in the future (another machine's clock) is not waited for.
    """
    age_ns = now_ns - changed_ns
    return (_TICK_NS - age_ns) / 1e9 if 0 <= age_ns < _TICK_NS else 0.0


def _listed(key: str, status: os.stat_result) -> Listed:
    return Listed(key=key, etag=etag_of(status), size=status.st_size, modified=_modified(status))


def _modified(status: os.stat_result) -> datetime:
    """The time of the last write; what no calendar has (file systems store more) becomes the nearest it has."""
    try:
        return datetime.fromtimestamp(status.st_mtime, UTC)
    except (OverflowError, ValueError, OSError):
        return _LATEST if status.st_mtime > 0 else _EARLIEST


def _read_exactly(file: int, size: int) -> bytes:
    """`size` bytes, or fewer where the file ends before."""
    data = os.read(file, size)
    while len(data) < size and (more := os.read(file, size - len(data))):
        data += more
    return data


def _obstacle(entry: os.DirEntry[str], path: bytes) -> SkipReason | None:
    """Why what lies at `path` cannot be listed; None if it can."""
    if entry.is_symlink():
        return SkipReason.SYMBOLIC_LINK
    if not path.endswith(b"/") and not entry.is_file(follow_symlinks=False):
        return SkipReason.SPECIAL_FILE
    if len(path) > MAX_KEY_BYTES:
        return SkipReason.KEY_TOO_LONG
    try:
        path.decode()
    except UnicodeDecodeError:
        return SkipReason.NAME_NOT_UTF8
    return None


def _concerns(path: bytes, behind: bytes) -> bool:
    """Whether a file at `path`, or anything in a folder at `path`, comes behind `behind`."""
    return path > behind or (path.endswith(b"/") and behind.startswith(path))
