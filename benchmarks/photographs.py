"""The pictures the benchmarks read: real photographs where there are any, else the drawn sample catalog."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_VARIABLE = "CLOTHING_DATA"


def photographs(folder: Path | None) -> tuple[str, list[Path]]:
    """What the pictures are, and their files in order of name.

    Raises:
        SystemExit: there are none; says how to get some.
    """
    chosen = folder or Path(os.environ.get(FOLDER_VARIABLE) or Path(__file__).parents[2] / "shared/data/clothing")
    files = sorted(path for path in chosen.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise SystemExit(
            f"no JPEG under {chosen}: name a folder with --pictures or {FOLDER_VARIABLE}, or make one with: "
            f"catalog sample pictures --images 2000"
        )
    return f"{len(files):,} photographs, {sum(f.stat().st_size for f in files) / len(files) / 1000:.0f} kB each", files
