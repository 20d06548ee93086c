"""Videos that lie on their side, as telephones write upright ones."""

import struct


def turn(path, quarters):
    """Makes an MP4 say that its pictures are to be turned, clockwise."""
    one = 2**16
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters]

    def matrix(*values):
        return struct.pack(">9i", *values)

    data, place = path.read_bytes(), path.read_bytes().index(b"tkhd")
    plain = data.index(matrix(one, 0, 0, 0, one, 0, 0, 0, 2**30), place)
    turned = matrix(cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 2**30)
    path.write_bytes(data[:plain] + turned + data[plain + len(turned) :])
