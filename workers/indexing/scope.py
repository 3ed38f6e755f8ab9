"""Which keys of a source a run is about: images by name, within the globs that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pathspec import GitIgnoreSpec

from workers.errors import ContractError

IMAGE_SUFFIXES: Final = frozenset(
    f".{suffix}"
    for suffix in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "avif", "gif", "bmp", "tif", "tiff"),
        *("heic", "heif", "svg", "psd", "jp2", "jxl"),
    )
)
"""Names that promise an image, the formats that are refused later (with a reason) included."""


def is_image_name(key: str) -> bool:
    """Whether a key promises an image by a known suffix. Hidden files and folders never do."""
    return not _is_hidden(key) and _suffix(key) in IMAGE_SUFFIXES


def may_be_image(key: str) -> bool:
    """Whether some run could take a key: an image by name, or a name without suffix that a glob may ask for."""
    return is_image_name(key) or (_suffix(key) is None and not _is_hidden(key))


def _is_hidden(key: str) -> bool:
    return key.startswith(".") or "/." in key


def _suffix(key: str) -> str | None:
    """The suffix in lower case with its dot, or None for a name without one."""
    stem, dot, suffix = key.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if dot and stem else None


class Scope:
    """Globs in the manner of .gitignore: `*.png` anywhere, `women/**` below a folder, `/men/*.jpg` from the root."""

    def __init__(self, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        """Compile the globs.

        Raises:
            ContractError: a pattern is malformed.
        """
        self._include = _compile(include)
        self._exclude = _compile(exclude)

    def __contains__(self, key: str) -> bool:
        """Whether the key is included and not excluded."""
        if self._include is not None and not self._include.match_file(key):
            return False
        return self._exclude is None or not self._exclude.match_file(key)

    def takes(self, key: str) -> bool:
        """Whether a key that is in scope is to be indexed: an image by name, or a name without suffix that a glob asks for
        (stores that name objects by their content have no suffixes).
        """
        return is_image_name(key) or (self._include is not None and _suffix(key) is None and not _is_hidden(key))


def _compile(patterns: Sequence[str]) -> GitIgnoreSpec | None:
    if not patterns:
        return None
    for pattern in patterns:
        if not pattern.strip() or pattern.startswith("!"):
            raise ContractError(f"the glob {pattern!r} is not usable: give a pattern such as '*.jpg' or 'women/**'")
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise ContractError(f"bad glob among {', '.join(map(repr, patterns))}: {error}") from error
