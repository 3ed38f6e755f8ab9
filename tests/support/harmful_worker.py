"""The `catalog` command with two kinds of image that no decoder should meet: one ends its process, one never comes back.

Real bytes that do so are the bugs of next year's decoders. A pool process is a fresh interpreter that runs its worker's main
module again, so the change below is made in it as well.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from workers.imaging.decode import Decoded, decode
from workers.indexing import fetch

DEADLY = b"ends its worker"
HANGING = b"never comes back"

_decode = decode


def _harmful(data: bytes, **options: Any) -> Decoded:
    if data.endswith(DEADLY):
        os.kill(os.getpid(), signal.SIGKILL)
    if data.endswith(HANGING):
        time.sleep(3600)
    return _decode(data, **options)


fetch.__dict__["decode"] = _harmful

if __name__ == "__main__":
    from workers.cli import main

    main()
