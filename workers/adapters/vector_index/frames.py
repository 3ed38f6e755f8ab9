"""Frames between the index' owner and its clients: a JSON header and a block of raw float32, both bounded.

4 bytes   length of the header, unsigned, little-endian
4 bytes   length of the block
header    JSON object
block     little-endian float32, row after row; empty where no vectors travel
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from workers.errors import ContractError

PROTOCOL: Final = 1
"""Raised with every change of the frames, of the calls or of the files on disk: an owner that speaks a lower number
than its client is asked to quit, and the client starts its own."""
MAX_HEADER_BYTES: Final = 64 * 2**20
MAX_BLOCK_BYTES: Final = 512 * 2**20
"""Far above what the calls need (10,000 payloads, 10,000 vectors of 4,096 numbers); a stranger's bytes stop here."""

_LENGTHS: Final = struct.Struct("<II")


def send_frame(connection: socket.socket, header: dict[str, Any], block: bytes = b"") -> None:
    """Send one frame.

    Raises:
        ContractError: it is larger than the other side takes; nothing was sent.
        OSError: the connection is gone.
    """
    encoded = orjson.dumps(header)
    if len(encoded) > MAX_HEADER_BYTES or len(block) > MAX_BLOCK_BYTES:
        raise ContractError("the request or its answer is too large for one frame; ask for less at once")
    connection.sendall(_LENGTHS.pack(len(encoded), len(block)) + encoded)
    if block:
        connection.sendall(block)


def receive_frame(connection: socket.socket) -> tuple[dict[str, Any], bytes] | None:
    """The next frame, or None where the other side has ended the connection between two frames.

    Raises:
        ContractError: the bytes are no frame.
        OSError: the connection ended within a frame (`ConnectionResetError`) or timed out.
    """
    lengths = _receive(connection, _LENGTHS.size, may_end=True)
    if not lengths:
        return None
    header_length, block_length = _LENGTHS.unpack(lengths)
    if header_length > MAX_HEADER_BYTES or block_length > MAX_BLOCK_BYTES:
        raise ContractError("the other side sent something that is no frame")
    try:
        header = orjson.loads(_receive(connection, header_length))
    except orjson.JSONDecodeError as error:
        raise ContractError(f"the other side sent a header that is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise ContractError("the other side sent a header that is no JSON object")
    return header, bytes(_receive(connection, block_length))


def vectors_to_block(vectors: Sequence[NDArray[np.float32]]) -> bytes:
    """Equally long vectors, one after the other."""
    return np.stack(vectors).astype("<f4").tobytes() if vectors else b""


def block_to_vectors(block: bytes, rows: int) -> NDArray[np.float32]:
    """(rows, D) of a block; D follows from its length.

    Raises:
        ContractError: the block does not hold that many rows.
    """
    if rows == 0 or not block or len(block) % (4 * rows):
        raise ContractError(f"a block of {len(block)} bytes holds no {rows} vectors")
    return np.frombuffer(block, dtype="<f4").reshape(rows, -1).astype(np.float32, copy=False)


def _receive(connection: socket.socket, count: int, *, may_end: bool = False) -> bytearray:
    buffer = bytearray(count)
    view = memoryview(buffer)
    received = 0
    while received < count:
        got = connection.recv_into(view[received:])
        if got == 0:
            if may_end and received == 0:
                return bytearray()
            raise ConnectionResetError("the connection ended within a frame")
        received += got
    return buffer
