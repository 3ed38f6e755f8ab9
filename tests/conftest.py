"""Tests run in two processes on two cores."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Threads that spin while they wait for each other cost more than they bring once processes share the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
