"""The command line: `catalog`. Start reading in `app`."""

from workers.cli.app import main

__all__ = ["main"]
