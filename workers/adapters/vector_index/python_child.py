"""Starting this package's own modules as processes, wherever it is installed or merely lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import workers


def module_command(module: str, *arguments: str) -> list[str]:
    """Command line that runs a module of this package with the present interpreter."""
    return [sys.executable, "-m", module, *arguments]


def module_environment() -> dict[str, str]:
    """The present environment, with this package found first and nothing else by the working directory."""
    roots = [str(Path(workers.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots)), "PYTHONSAFEPATH": "1"}
