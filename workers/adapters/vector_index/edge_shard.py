"""One Qdrant Edge shard: making and opening it, its translated errors, and what an acknowledgement waits for.

The engine holds the interpreter lock in every call, so calls on it never overlap; `Shard` only counts who is using it,
for the moment when another shard takes its place.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import qdrant_edge as edge

from schemas.collection import VECTOR_NAME, CollectionSpec, FieldKind
from workers.adapters.vector_index.durable_files import remove_tree, sync_path
from workers.errors import CatalogError, ContractError, TransientError

_INDEX_PARAMETERS: Final[dict[FieldKind, Callable[..., Any]]] = {
    "keyword": edge.KeywordIndexParams,
    "float": edge.FloatIndexParams,
    "integer": edge.IntegerIndexParams,
    "bool": edge.BoolIndexParams,
    "datetime": edge.DatetimeIndexParams,
}
_INDEX_MEMORY: Final = edge.Memory.Cached
"""Payload indexes are mapped files instead of copies in memory: a shard of 100,000 points opens in 0.24 s instead of 0.54
to 0.76 s, with the interpreter lock held, and filters are as fast (at most 0.1 ms slower, for price ranges)."""


class Shard:
    """An open shard and the number of calls that are on it."""

    def __init__(self, path: Path, engine: Any) -> None:
        self.path = path
        self._engine = engine
        self._users = 0
        self._idle = threading.Condition()

    @contextmanager
    def engine(self) -> Iterator[Any]:
        """The engine, kept open and its errors translated for the length of the block.

        Raises:
            TransientError: the shard was closed, or the engine failed.
            ContractError: the engine refused a value.
        """
        with self._idle:
            if self._engine is None:
                raise ShardClosedError(f"{self.path.name} is closed")
            self._users += 1
        try:
            with translated_errors(self.path):
                yield self._engine
        finally:
            with self._idle:
                self._users -= 1
                self._idle.notify_all()

    def close(self) -> None:
        """Wait for those who use it, then close it (which flushes); closing twice is harmless."""
        with self._idle:
            engine, self._engine = self._engine, None
            self._idle.wait_for(lambda: self._users == 0)
        if engine is not None:
            engine.close()

    def sync_log(self) -> None:
        """Wait until the write-ahead log is on the device: what it holds survives a power failure from then on.

        About 1 ms, without the interpreter lock, where the engine's own flush takes 100 ms and more with it (it syncs a
        hundred files); the log alone restores everything since the last flush.
        """
        log = self.path / "wal"
        for file in log.iterdir():
            try:
                sync_path(file)
            except FileNotFoundError:  # a log segment that a flush made superfluous meanwhile
                continue
        sync_path(log)

    def write_back(self) -> None:
        """Bring the segments' files to the device, without the interpreter lock: halves the flush that follows."""
        for folder, _, names in os.walk(self.path / "segments"):
            for name in names:
                try:
                    sync_path(Path(folder, name))
                except FileNotFoundError:
                    continue


class ShardClosedError(TransientError):
    """The shard was replaced or closed between looking it up and using it."""


def create_shard(path: Path, spec: CollectionSpec) -> None:
    """Make an empty shard with every payload index in place, flushed and closed."""
    with translated_errors(path):
        path.mkdir(parents=True)
        vector = edge.EdgeVectorParams(size=spec.dimension, distance=edge.Distance.Cosine)
        engine = edge.EdgeShard.create(str(path), edge.EdgeConfig(vectors={VECTOR_NAME: vector}, wal_enabled=True))
        for index in spec.indexes:
            parameters = _INDEX_PARAMETERS[index.kind](memory=_INDEX_MEMORY)
            engine.update(edge.UpdateOperation.create_field_index(index.field, parameters))
        engine.flush()
        engine.close()


def open_shard(path: Path) -> Shard:
    """Open a shard, its log replayed; left-overs of an interrupted optimisation are removed first.

    Raises:
        TransientError: another process has it open, or its files cannot be read.
    """
    remove_tree(path / "temp_segments")
    with translated_errors(path):
        return Shard(path, edge.EdgeShard.load(str(path)))


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn what the engine raises (bare `Exception` for almost everything) into the project's errors."""
    try:
        yield
    except CatalogError:
        raise
    except (TypeError, ValueError) as error:
        raise ContractError(f"vector engine refused a value: {error}") from error
    except OSError as error:
        raise TransientError(f"vector index at {path}: {error}") from error
    except Exception as error:
        if "WouldBlock" in str(error):
            raise TransientError(f"the vector index at {path} is open in another process") from error
        if type(error) is not Exception:
            raise
        raise TransientError(f"vector engine at {path}: {error}") from error
