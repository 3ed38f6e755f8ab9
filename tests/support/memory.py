"""The most memory that another process held."""

from __future__ import annotations

import threading
from pathlib import Path


class PeakMemory:
    """Follows the high-water mark of a process (VmHWM) until it ends.

    `ru_maxrss` of a child starts from what its parent held when it forked, so a test process that has grown would
    measure itself.
    """

    INTERVAL_S = 0.02

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._command = Path(f"/proc/{pid}/cmdline")
        self._own_command = Path("/proc/self/cmdline").read_bytes()
        self._bytes = 0
        self._thread = threading.Thread(target=self._follow, name="peak-memory", daemon=True)
        self._ended = threading.Event()
        self._thread.start()

    def bytes(self) -> int:
        """The highest mark seen; call it when the process has ended."""
        self._ended.set()
        self._thread.join()
        return self._bytes

    def _follow(self) -> None:
        while not self._ended.wait(self.INTERVAL_S):
            try:
                # Between fork and exec the child is still a copy of this process.
                if self._command.read_bytes() != self._own_command:
                    self._bytes = max(self._bytes, high_water(self._status.read_text()))
            except OSError:
                return


def high_water(status: str) -> int:
    """VmHWM of a `/proc/PID/status` text in bytes; 0 for a process that has no memory any more."""
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
