"""PNGs of depths that Pillow cannot write."""

import struct
import zlib

import numpy as np


def write_png(file, values, depth, kind, more=b""):
    """(H, W) or (H, W, channels) integers as a PNG of a depth and a colour type."""
    bits = np.unpackbits(np.asarray(values, ">u2").reshape(len(values), -1, 1).view(np.uint8), axis=-1)
    rows = np.packbits(bits[..., 16 - depth :].reshape(len(values), -1), axis=-1)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", values.shape[1], len(values), depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = chunk(b"IHDR", head) + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return file
