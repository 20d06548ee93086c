"""Pictures as PNG files: what is written byte by byte, and that it reads back as what was given."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from segformer_tf.images import png


@pytest.mark.parametrize("shape", [(1, 1, 3), (37, 53, 3)])
@pytest.mark.parametrize("at_once", [1, 10 * 3 * 53, png.PACKED_AT_ONCE])
@pytest.mark.parametrize("fast", [True, False])
def test_colours_are_packed_without_loss(shape, at_once, fast, monkeypatch):
    if not fast:
        monkeypatch.setitem(sys.modules, "isal", None)  # as if the extra `fast` were not installed
    assert ("isal" in type(png._packer()).__module__) is fast
    monkeypatch.setattr(png, "PACKED_AT_ONCE", at_once)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    data = io.BytesIO()
    png.write_png(Image.fromarray(pixels), data, "someone")
    found = Image.open(data)
    found.verify()
    assert found.info["Software"] == "someone"
    np.testing.assert_array_equal(np.asarray(Image.open(data)), pixels)


def test_colours_are_written_byte_by_byte_as_the_specification_has_them(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "isal", None)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    rows = pixels.reshape(5, 21)
    up = rows - np.concatenate([np.zeros((1, 21), np.uint8), rows[:-1]])
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    packed = packer.compress(b"".join(b"\2" + row.tobytes() for row in up)) + packer.flush()
    expected = b"\x89PNG\r\n\x1a\n"
    for chunk in (
        b"IHDR" + struct.pack(">IIBBBBB", 7, 5, 8, 2, 0, 0, 0), b"tEXtSoftware\0someone", b"IDAT" + packed, b"IEND"
    ):  # fmt: skip
        expected += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    for picture in (pixels, Image.fromarray(pixels)):
        png.write_png(picture, tmp_path / "a.png", "someone")
        assert (tmp_path / "a.png").read_bytes() == expected


@pytest.mark.parametrize("mode", ["P", "I;16", "L"])
def test_label_maps_are_written_by_pillow(mode, tmp_path):
    picture = Image.new(mode, (7, 5), 3)
    said = PngImagePlugin.PngInfo()
    said.add_text("Software", "someone")
    expected = io.BytesIO()
    picture.save(expected, "PNG", pnginfo=said, compress_level=1, compress_type=zlib.Z_RLE)
    png.write_png(picture, tmp_path / "a.png", "someone")
    assert (tmp_path / "a.png").read_bytes() == expected.getvalue()
