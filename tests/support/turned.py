"""Videos that lie on their side, as telephones write upright ones, or are mirrored."""

import struct


def turn(path, quarters):
    """Makes an MP4 say that its pictures are to be turned, clockwise."""
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters]
    lay(path, cosine, sine, -sine, cosine)


def lay(path, a, b, c, d):
    """Makes an MP4 say that a pixel at (x, y) is to be shown at (a x + c y, b x + d y)."""
    one = 2**16

    def matrix(*values):
        return struct.pack(">9i", *values)

    data, place = path.read_bytes(), path.read_bytes().index(b"tkhd")
    plain = data.index(matrix(one, 0, 0, 0, one, 0, 0, 0, 2**30), place)
    turned = matrix(a * one, b * one, 0, c * one, d * one, 0, 0, 0, 2**30)
    path.write_bytes(data[:plain] + turned + data[plain + len(turned) :])
