"""The stack on which this thread's signals are handled, kept as it is while an engine is compiled.

Compiling a graph, OpenVINO gives the calling thread an alternate signal stack (sigaltstack(2)) and remembers the one
before; freeing the graph brings that one back. Graphs that are freed in another order than last-in-first-out so bring
back a stack that is freed already, and the next signal, a SIGTERM say, ends the process with a segmentation fault:
Python's handlers run on that stack. Brought back at once, every graph remembers the thread's own.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Leave the thread with the alternate signal stack it had; nothing is done on systems other than Linux.

    Raises:
        OSError: the system refuses to bring it back.
    """
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    before = _Stack()
    if libc.sigaltstack(None, ctypes.byref(before)):
        raise OSError(ctypes.get_errno(), "sigaltstack")
    try:
        yield
    finally:
        if libc.sigaltstack(ctypes.byref(before), None):
            raise OSError(ctypes.get_errno(), "sigaltstack")
