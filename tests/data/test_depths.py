"""Masks of 2, 4 and 16 bits a channel, which Pillow cannot write: PNGs made here."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from pngs import write_png

from segformer_tf.data import Coding
from segformer_tf.data.greys import settled
from segformer_tf.data.masks import read_mask
from segformer_tf.data.splits import Split

IDS = np.arange(12).reshape(3, 4) % 4
COLOURS = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2, (0, 0, 200): 3}
KINDS = {"RGB": 2, "LA": 4, "RGBA": 6}


def deep(ids, kind, alpha=65535):
    grey = {"RGB": [ids] * 3, "LA": [ids], "RGBA": [ids] * 3}[kind]
    return np.dstack([*grey, *[np.full_like(ids, alpha)] * kind.endswith("A")])


@pytest.mark.parametrize("kind", KINDS)
def test_ids_in_several_channels_of_sixteen_bits_are_read_or_refused(tmp_path, kind):
    file = tmp_path / "m.png"
    for ids, factor in ((IDS, 1), (IDS * 8, 257)):
        write_png(file, deep(ids * factor, kind), 16, KINDS[kind])
        np.testing.assert_array_equal(read_mask(file, Coding()), ids)
    with pytest.raises(ValueError, match=r"m\.png has 16 bits in each of several channels, expected 8"):
        read_mask(write_png(file, deep(IDS * 5000 + 1, kind), 16, KINDS[kind]), Coding())


@pytest.mark.parametrize("kind", KINDS)
def test_their_alpha_says_what_is_not_labelled(tmp_path, kind):
    if kind != "RGB":
        values = deep(IDS, kind)
        values[0, ..., -1] = 0
        ids = read_mask(write_png(tmp_path / "m.png", values, 16, KINDS[kind]), Coding())
        assert (ids[0] == 255).all() and (ids[1:] == IDS[1:]).all()


@pytest.mark.parametrize("kind", ["RGB", "RGBA"])
@pytest.mark.parametrize("greys", [False, True])
def test_colours_of_sixteen_bits_are_eight_bit_ones_or_refused(tmp_path, kind, greys):
    colours = np.array(list(COLOURS))[IDS]
    values = np.dstack([colours * 257, np.full_like(IDS, 65535)])[..., : len(kind)]
    coding = Coding(COLOURS, greys=greys)
    np.testing.assert_array_equal(read_mask(write_png(tmp_path / "m.png", values, 16, KINDS[kind]), coding), IDS)
    values[0, 0, 0] += 5
    with pytest.raises(ValueError, match="16 bits in each of several channels"):
        read_mask(write_png(tmp_path / "m.png", values, 16, KINDS[kind]), coding)


def test_ids_in_a_tiff_of_colours_of_sixteen_bits_are_read(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    for order in "<>":
        for how in (None, "zlib"):
            values = deep(IDS, "RGB").astype(f"{order}u2")
            tifffile.imwrite(tmp_path / "m.tif", values, byteorder=order, photometric="rgb", compression=how)
            np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", Coding()), IDS)


def test_a_mask_that_is_turned_lies_as_viewers_show_it(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    file = write_png(tmp_path / "m.png", deep(IDS, "RGB"), 16, 2, chunk)
    np.testing.assert_array_equal(read_mask(file, Coding()), np.rot90(IDS, -1))


@pytest.mark.parametrize(("depth", "greatest"), [(2, 3), (4, 15)])
def test_greys_of_few_bits_are_ids(tmp_path, depth, greatest):
    ids = np.arange(greatest + 1)[None].repeat(3, 0)
    np.testing.assert_array_equal(read_mask(write_png(tmp_path / "m.png", ids, depth, 0), Coding()), ids)


def test_greys_of_few_bits_are_the_classes_greys_where_these_are_colours(tmp_path):
    """What programs that make PNGs small do to masks in greys."""
    coding = Coding({(85 * i,) * 3: i % 4 for i in range(4)} | {(1, 2, 3): 4})
    file = write_png(tmp_path / "m.png", IDS, 2, 0)
    rows = [{"id": i, "name": str(i)} for i in range(5)]
    split = settled(Split("train", [file], [file], rows, coding))
    np.testing.assert_array_equal(read_mask(file, split.coding), IDS)
    assert split.coding.greys
