"""How encoded pictures lie, told inside a graph: as Pillow tells it."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from serving_models import encoded, picture

from segformer_tf.export import orientation as module
from segformer_tf.export.orientation import orientation, upright
from segformer_tf.images.opening import open_image
from segformer_tf.images.orientation import orientation as by_pillow

told = tf.function(orientation, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
PHOTO = picture(40, 53)
XMP = '<x:xmpmeta tiff:Make="Exif" tiff:Orientation{}{}>'


def exif(number, order=">", kind=3, before=(), start=8):
    """A block of EXIF with one orientation, and other tags before it."""
    value = struct.pack(order + {3: "HH", 4: "L"}[kind], *([number, 0] if kind == 3 else [number]))
    entries = [struct.pack(order + "HHL4s", tag, 2, 4, b"abc\0") for tag in before]
    entries.append(struct.pack(order + "HHL4s", 0x0112, kind, 1, value))
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "L", start)
    return head.ljust(start, b"x") + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)


def text(key, value, packed=False, kind="iTXt"):
    texts = PngImagePlugin.PngInfo()
    (texts.add_itxt if kind == "iTXt" else texts.add_text)(key, value, zip=packed)
    return {"pnginfo": texts}


def profile(block):
    block = b"Exif\0\0" + block
    lines = "\n".join(block.hex().upper()[i : i + 72] for i in range(0, 2 * len(block), 72))
    return f"\nexif\n{len(block):8}\n{lines}\n"


# File format and what is saved along, of an orientation.
WAYS = {
    "JPEG": lambda n: ("JPEG", {"exif": b"Exif\0\0" + exif(n)}),
    "JPEG, little": lambda n: ("JPEG", {"exif": b"Exif\0\0" + exif(n, "<", before=(0x010F, 0x0110))}),
    "JPEG, long": lambda n: ("JPEG", {"exif": b"Exif\0\0" + exif(n, kind=4), "comment": b"Exif", "progressive": True}),
    "JPEG, a late directory": lambda n: ("JPEG", {"exif": b"Exif\0\0" + exif(n, "<", start=300), "dpi": (72, 72)}),
    "JPEG, XMP": lambda n: ("JPEG", {"xmp": XMP.format('="', n).encode()}),
    "JPEG, XMP beside an EXIF without": lambda n: (
        "JPEG",
        {"xmp": XMP.format(">", n).encode(), "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"},
    ),
    "JPEG, EXIF before XMP": lambda n: ("JPEG", {"xmp": XMP.format('="', 8).encode(), "exif": b"Exif\0\0" + exif(n)}),
    "PNG": lambda n: ("PNG", {"exif": b"Exif\0\0" + exif(n)}),
    "PNG, XMP": lambda n: ("PNG", text("XML:com.adobe.xmp", XMP.format('="', n))),
    "PNG, packed XMP": lambda n: ("PNG", text("XML:com.adobe.xmp", XMP.format('="', n), packed=True)),
    "PNG, profile": lambda n: ("PNG", text("Raw profile type exif", profile(exif(n)), kind="tEXt")),
    "PNG, packed profile": lambda n: ("PNG", text("Raw profile type exif", profile(exif(n)), True, kind="zTXt")),
}


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("way", WAYS)
def test_a_graph_reads_what_pillow_reads_whatever_says_it(way, number):
    kind, how = WAYS[way](number)
    data = encoded(PHOTO, kind, **how)
    expected = number if 2 <= number <= 8 else 1
    assert by_pillow(Image.open(io.BytesIO(data))) == expected
    assert told(data) == expected


@pytest.mark.parametrize("number", range(1, 9))
def test_pictures_are_turned_as_pillow_turns_them(number):
    data = encoded(PHOTO, "PNG", exif=b"Exif\0\0" + exif(number))
    found = tf.function(upright)(np.asarray(PHOTO), tf.constant(number))
    np.testing.assert_array_equal(found, np.asarray(open_image(data)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(0, 9),
    order=st.sampled_from("<>"),
    kind=st.sampled_from([3, 4]),
    before=st.lists(st.integers(0, 0xFFFF), max_size=4),
    start=st.integers(8, 40),
    cut=st.integers(0, 30),
    fill=st.integers(0, 3),
    second=st.booleans(),
)
def test_blocks_of_exif_in_any_form_are_read_as_pillow_reads_them(
    number, order, kind, before, start, cut, fill, second
):
    block = exif(number, order, kind, before, start)
    block = block[: len(block) - cut]
    data = encoded(PHOTO, "JPEG")
    parts = [block[:20], block[20:]] if second else [block]
    segments = [b"\xff" * (fill + 1) + b"\xe1" + struct.pack(">H", len(p) + 8) + b"Exif\0\0" + p for p in parts]
    data = data[:2] + b"".join(segments) + data[2:]
    assert told(data) == by_pillow(Image.open(io.BytesIO(data)))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("number", [1, 6])
@pytest.mark.parametrize("size", [10, 64, 1 << 16])
def test_what_says_it_may_stand_behind_any_number_of_chunks_of_pixels(size, number):
    data = encoded(PHOTO, "PNG")
    place = data.index(b"IDAT")
    length = int.from_bytes(data[place - 4 : place], "big")
    pixels = data[place + 4 : place + 4 + length]
    parts = [chunk(b"IDAT", pixels[i : i + size]) for i in range(0, length, size)]
    assert size > 10 or len(parts) > 2 * module.LEAP
    data = data[: place - 4] + b"".join(parts) + chunk(b"eXIf", exif(number)) + chunk(b"IEND", b"")
    assert told(data) == number == by_pillow(Image.open(io.BytesIO(data)))


def test_a_compressed_text_that_would_fill_the_memory_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(module, "PACKED", 50)
    kind, how = WAYS["PNG, packed profile"](6)
    read = tf.function(orientation, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    assert read(encoded(PHOTO, kind, **how)) == 1
