"""Where the owner of a home's index listens, and the files around it.

<home>/index/                the `EdgeIndex` folder
<home>/index/owner.sock      the socket, where its path is short enough for the system
<home>/index/owner.address   the socket's path, wherever it is; written when the owner is ready
<home>/index/start.lock      held by whoever is starting an owner
<home>/index/owner.log       what the owner has to say
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from workers.errors import ConfigurationError

_MAX_SOCKET_PATH_BYTES: Final = 100
"""`sun_path` holds 108 bytes on Linux and 104 on macOS, a terminating zero included."""


def index_folder(home: Path) -> Path:
    """The folder of the index below a home."""
    return home / "index"


def socket_path(folder: Path) -> Path:
    """Where an owner of this index folder should listen.

    A path too long for a socket is replaced by one in a private folder under the system's temporary folder.

    Raises:
        ConfigurationError: somebody else has put something in that private folder's place.
    """
    near = folder / "owner.sock"
    if len(os.fsencode(near)) <= _MAX_SOCKET_PATH_BYTES:
        return near
    private = Path(tempfile.gettempdir()) / f"catalog-index-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise ConfigurationError(f"{private} is not a private folder of this user; remove it or set TMPDIR")
    return private / (hashlib.sha256(os.fsencode(folder)).hexdigest()[:24] + ".sock")


def read_address(folder: Path) -> Path | None:
    """The path that the last owner of this folder listened on, or None where there was none yet."""
    try:
        return Path(os.fsdecode((folder / "owner.address").read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None


def log_tail(folder: Path, *, max_bytes: int = 600) -> str:
    """The end of the owner's log, for an error's text."""
    try:
        return (folder / "owner.log").read_bytes()[-max_bytes:].decode(errors="replace").strip() or "(empty)"
    except FileNotFoundError:
        return "(none)"
