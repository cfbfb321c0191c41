"""The idx format of MNIST: arrays of bytes behind a header.

    0x00 0x00  type  rank  |  rank sizes, 32-bit big-endian  |  values, last index fastest

Type 8 is uint8, the only one read here. The file may be gzipped. Layout after
http://yann.lecun.com/exdb/mnist.
"""

import gzip
import math
import struct
import zlib
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nfcompile.errors import InputError

__all__ = ["MAX_BYTES", "read_idx"]

Stream: TypeAlias = BufferedReader | gzip.GzipFile

MAX_BYTES = 2**28  # MNIST's largest file has 47 MB
_GZIP = b"\x1f\x8b"
_CHUNK = 2**20


def read_idx(path: Path, rank: int) -> npt.NDArray[np.uint8]:
    """Reads one file; memory grows with what it really holds, not with what its header says.

    Args:
        path: The file, plain or gzipped: its first bytes tell, not its name.
        rank: Number of dimensions that the array must have.

    Returns:
        The array, uint8, read-only.

    Raises:
        InputError: If the file cannot be read, or is no such array, or not a whole one.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP
            file.seek(0)
            return _parse(path, gzip.GzipFile(fileobj=file) if zipped else file, rank)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}; get the file again") from error


def _parse(path: Path, stream: Stream, rank: int) -> npt.NDArray[np.uint8]:
    magic = bytes((0, 0, 8, rank))
    header = stream.read(4 + 4 * rank)
    if header[:4] != magic:
        raise InputError(
            f"{path} must start with the magic number 0x{magic.hex()} of uint8 idx files of rank "
            f"{rank}, plain or gzipped, got 0x{header[:4].hex()}"
        )
    if len(header) < 4 + 4 * rank:
        raise InputError(f"{path} ends inside its header; get the file again")
    shape = struct.unpack(f">{rank}I", header[4:])
    size = math.prod(shape)
    if not 0 < size <= MAX_BYTES:
        sizes = "x".join(map(str, shape))
        raise InputError(f"{path} must hold 1 to {MAX_BYTES} values, its header says {sizes}")
    values = _read(stream, size + 1)
    if len(values) != size:
        got = "more" if len(values) > size else len(values)
        raise InputError(
            f"{path} must hold the {size} values that its header says, got {got}; "
            "get the file again"
        )
    return np.frombuffer(bytes(values), np.uint8).reshape(shape)


def _read(stream: Stream, limit: int) -> bytearray:
    """At most `limit` bytes; asking for them at once would allocate them all."""
    values = bytearray()
    while len(values) < limit and (chunk := stream.read(min(_CHUNK, limit - len(values)))):
        values += chunk
    return values
