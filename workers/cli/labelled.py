"""A labelled folder: images whose category or product their folder or a manifest says."""

from __future__ import annotations

from pathlib import Path

from workers.errors import ContractError
from workers.indexing.manifest import read_manifest
from workers.indexing.scope import is_image_name
from workers.query.labelled import Labelled, category_of


def labelled_folder(folder: Path, manifest: Path | None) -> tuple[Labelled, ...]:
    """Images below a folder, by name: labelled by the rows of a manifest, else by the folder each lies in.

    Raises:
        ContractError: no such folder, no image in it, or none with a label that the taxonomy knows.
    """
    if not folder.is_dir():
        raise ContractError(f"{folder} is no folder; name one with a sub-folder for each category, or give --manifest")
    root = folder.resolve()
    paths = sorted(
        path for path in root.rglob("*") if path.is_file() and is_image_name(path.relative_to(root).as_posix())
    )
    if not paths:
        raise ContractError(f"there is no image in {folder}")
    if manifest is None:
        found = [
            Labelled(name=p.relative_to(root).as_posix(), path=p, category=category_of(p.parent.name)) for p in paths
        ]
        advice = "name its sub-folders after categories (dress, t-shirt, shoes...), or give --manifest"
    else:
        rows = {
            row.key: row.fields for row in read_manifest(manifest, source_url=root.as_uri(), extra_fields=()).rows()
        }
        found = [
            Labelled(
                name=key,
                path=path,
                category=category_of(rows[key].get("category")),
                product_id=_text(rows[key].get("product_id")),
            )
            for path in paths
            if (key := path.relative_to(root).as_posix()) in rows
        ]
        advice = f"{manifest} names a category or product_id for none of its {len(paths):,} images"
    known = tuple(one for one in found if one.category is not None or one.product_id is not None)
    if not known:
        raise ContractError(f"no image in {folder} has a label: {advice}")
    return known


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
