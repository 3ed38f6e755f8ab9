"""A model bundle is a folder: `card.json`, the graph and the weights. Pure file work, no engine.

The digest in the card is compared with the files on every load, so that a collection can rely on it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from schemas.model_card import CARD_FILE, DIGESTED_FILES, GRAPH_FILE, ModelCard, bundle_digest
from workers.errors import ContractError


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A folder whose files were found to be what its card says."""

    folder: Path
    card: ModelCard

    @property
    def graph(self) -> Path:
        """The OpenVINO graph; its weights lie beside it."""
        return self.folder / GRAPH_FILE


def load_bundle(folder: Path) -> Bundle:
    """Read the card and check every file against its digest.

    Raises:
        ContractError: no such folder, a file is missing, the card is invalid, or the digest differs.
    """
    card = _read_card(folder)
    found = _digest(folder, card)
    if found != card.digest:
        raise ContractError(
            f"the model bundle {folder} is not what its card says: its files have digest {found[:12]}..., "
            f"the card says {card.digest[:12]}...; copy the bundle again or export it anew"
        )
    return Bundle(folder=folder, card=card)


def default_bundle() -> Bundle:
    """The bundle that comes with the package.

    Raises:
        ContractError: the installed package lacks it or it is damaged.
    """
    return load_bundle(Path(str(files("workers").joinpath("models", "default"))))


def compute_digest(folder: Path) -> str:
    """The digest of the bundle's files, preprocessing and labels as they are now, whatever the card states.

    Raises:
        ContractError: as `load_bundle`, but for a differing digest.
    """
    return _digest(folder, _read_card(folder))


def _read_card(folder: Path) -> ModelCard:
    missing = [name for name in (CARD_FILE, *DIGESTED_FILES) if not (folder / name).is_file()]
    if missing:
        raise ContractError(f"{folder} is no model bundle: {', '.join(missing)} missing")
    try:
        return ModelCard.model_validate_json((folder / CARD_FILE).read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ContractError(f"{folder / CARD_FILE} is no valid model card: {where}: {first['msg']}") from error


def _digest(folder: Path, card: ModelCard) -> str:
    digests = {}
    for name in DIGESTED_FILES:
        with (folder / name).open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return bundle_digest(digests, card.preprocessing, card.heads)
