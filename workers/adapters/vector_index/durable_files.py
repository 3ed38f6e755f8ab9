"""Small files and folders that survive a crash at any moment: written aside, synced, then renamed into place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file; after a crash it holds either the old or the new bytes, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    sync_path(folder)


def sync_path(path: Path) -> None:
    """Wait until a file's (or folder's) content, memory-mapped writes included, is on the device."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a folder or file; one that is gone already, wholly or in part, is harmless."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def bytes_on_disk(folder: Path) -> int:
    """Bytes that the folder's files occupy (sparse files count what they really take)."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(base, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
