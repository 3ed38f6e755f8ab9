"""A process that has closed its engines still ends, and goes on, at a signal."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import os, signal, threading, time
import numpy as np
from workers.adapters.bundle import default_bundle
from workers.adapters.embedder.openvino import OpenVinoEmbedder

bundle = default_bundle()
size = bundle.card.preprocessing.input_size
engines = [OpenVinoEmbedder(bundle, batch_size=batch) for batch in (1, 2, 4)]
for engine in engines:
    engine.embed(np.zeros((1, size, size, 3), dtype=np.uint8))
while engines:
    engines.pop(0).close()  # the first one first
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
time.sleep(0.5)
print(len(heard))
"""


def test_engines_closed_in_any_order_leave_signals_deliverable() -> None:
    ran = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout.strip()) == (0, "1"), ran.stderr
