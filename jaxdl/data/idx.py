"""The IDX format, in which MNIST and its likes are published (gzipped)."""

import math
import struct
import zlib

import numpy as np
from jaxtyping import UInt8

GZIP = 16 + zlib.MAX_WBITS
"""How zlib is told that its data have gzip's header and checksum."""

UNSIGNED_BYTES = 0x0800
"""A file's magic number is this plus its number of dimensions."""


def parse_idx(compressed: bytes, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The array of unsigned bytes in a gzipped IDX file, read-only.

    A header of big-endian uint32 (the magic number, then the size of each dimension) is followed by
    the values in C order (http://yann.lecun.com/exdb/mnist).

    Raises:
        ValueError: saying what is wrong with the file; anything but one whole array is.

    >>> import gzip
    >>> file = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> parse_idx(file, dimensions=1)
    array([7, 2, 1], dtype=uint8)
    """
    content = _decompress(compressed)
    header = struct.Struct(f">{1 + dimensions}I")
    if len(content) < header.size:
        raise ValueError(f"holds {len(content)} bytes, too few for the header of an IDX file")
    magic, *shape = header.unpack_from(content)
    if magic != UNSIGNED_BYTES + dimensions:
        raise ValueError(
            f"wrong magic number 0x{magic:08x} where 0x{UNSIGNED_BYTES + dimensions:08x} "
            f"(unsigned bytes in {dimensions} dimensions) is expected"
        )
    if len(content) - header.size != math.prod(shape):
        raise ValueError(
            f"its header announces {' x '.join(map(str, shape))} = {math.prod(shape)} bytes, "
            f"{len(content) - header.size} follow"
        )
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)


def _decompress(compressed: bytes) -> bytes:
    # zlib fills a buffer of the right size a third faster than the gzip module grows one. A gzip
    # file ends with the size of its content; the bound is for files that end in anything else.
    size = min(int.from_bytes(compressed[-4:], "little"), 16 * len(compressed))
    try:
        return zlib.decompress(compressed, wbits=GZIP, bufsize=size)
    except zlib.error as error:
        reason = "truncated" if "incomplete or truncated" in str(error) else "not sound"
        raise ValueError(f"{reason} as a gzip file ({error})") from None
