"""Encoded pictures inside a graph."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from serving_models import encoded, picture

from segformer_tf.export.picture_bytes import read_picture
from segformer_tf.images.opening import to_pixels

read = tf.function(
    lambda data: read_picture(data, max_pixels=20_000), input_signature=[tf.TensorSpec((), tf.string)], autograph=False
)
PHOTO = picture(40, 53)
NOISE = np.random.default_rng(0)
PALETTE = PHOTO.quantize(40)
EXIF = Image.Exif()
EXIF[0x0112] = 6
XMP = PngImagePlugin.PngInfo()
XMP.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="5"/>', zip=True)
GOOD = {
    "JPEG": encoded(PHOTO, "JPEG"),
    "progressive JPEG": encoded(PHOTO, "JPEG", progressive=True, quality=30),
    "JPEG without subsampling": encoded(PHOTO, "JPEG", subsampling=0),
    "grey JPEG": encoded(PHOTO.convert("L"), "JPEG"),
    "JPEG that EXIF turns": encoded(PHOTO, "JPEG", exif=EXIF),
    "PNG that XMP turns": encoded(PHOTO, pnginfo=XMP),
    "16-bit grey PNG that EXIF turns": encoded(
        Image.fromarray(NOISE.integers(0, 65536, (40, 53), np.uint16)), exif=EXIF
    ),
    "PNG": encoded(PHOTO),
    "grey PNG": encoded(PHOTO.convert("L")),
    "PNG with a palette": encoded(PALETTE),
    "PNG with a palette and transparency": encoded(PALETTE, transparency=2),
    "PNG with alpha": encoded(Image.fromarray(NOISE.integers(0, 256, (40, 53, 4), dtype=np.uint8))),
    "grey PNG with alpha": encoded(Image.fromarray(NOISE.integers(0, 256, (40, 53, 2), dtype=np.uint8))),
    "16-bit grey PNG": encoded(Image.fromarray(NOISE.integers(0, 65536, (40, 53), dtype=np.uint16))),
    "16-bit PNG": tf.io.encode_png(NOISE.integers(0, 65536, (40, 53, 3)).astype(np.uint16)).numpy(),
    "1-bit PNG": encoded(PHOTO.convert("1")),
    "as small as it may be": encoded(picture(8, 9)),
    "as large as it may be": encoded(picture(100, 200), "JPEG"),
}
DAMAGED = "The picture is damaged or cut short: send the whole file again."
BAD = {
    "nothing": (b"", "The data is empty, expected the bytes of a JPEG or a PNG file: send one of these."),
    "text": (b"hello", "The data is not a picture, expected"),
    "animated GIF": (encoded(PHOTO, "GIF", save_all=True, append_images=[PHOTO]), "The data is a GIF, expected"),
    "BMP": (encoded(PHOTO, "BMP"), "The data is a BMP, expected"),
    "cut JPEG": (GOOD["JPEG"][:700], DAMAGED),
    "cut JPEG header": (GOOD["JPEG"][:30], DAMAGED),
    "cut PNG": (GOOD["PNG"][:1500], DAMAGED),
    "cut PNG header": (GOOD["PNG"][:20], DAMAGED),
    "overwritten PNG": (GOOD["PNG"][:1000] + b"xxxx" + GOOD["PNG"][1004:], DAMAGED),
    "CMYK JPEG": (
        encoded(PHOTO.convert("CMYK"), "JPEG"),
        "The picture is a CMYK JPEG, expected RGB or grey: convert it.",
    ),
    "1 x 1": (
        encoded(PHOTO.resize((1, 1))),
        "The picture is 1 x 1 pixels, expected at least 8 a side and at most 20000",
    ),
    "10000 x 10000": (encoded(Image.new("1", (10000, 10000))), "The picture is 10000 x 10000 pixels, expected"),
    "65536 x 65536": (  # the product of which 32 bits do not hold
        GOOD["PNG"][:16] + 2 * b"\0\1\0\0" + GOOD["PNG"][24:],
        "The picture is 65536 x 65536 pixels, expected",
    ),
    "7 x 9": (encoded(picture(9, 7)), "The picture is 7 x 9 pixels, expected at least 8 a side"),
    "one pixel too many": (encoded(picture(59, 339), "JPEG"), "The picture is 339 x 59 pixels, expected"),
    "large JPEG": (encoded(Image.new("L", (300, 200)), "JPEG"), "The picture is 300 x 200 pixels, expected"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_pixels_are_those_that_the_processor_takes_from_the_same_file(kind):
    pixels, error = read(GOOD[kind])
    assert error == b""
    np.testing.assert_array_equal(pixels, to_pixels(GOOD[kind], 3, None, strict=True))
    lying, _ = read_picture(GOOD[kind], turn=False)
    np.testing.assert_array_equal(lying, to_pixels(GOOD[kind], 3, None, strict=True, exif=False))
    assert (lying.shape == pixels.shape) != ("turns" in kind)


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_read_gives_an_error_text_and_a_black_picture(kind):
    data, message = BAD[kind]
    pixels, error = read(data)
    assert error.numpy().decode().startswith(message)
    assert pixels.shape == (32, 32, 3) and not pixels.numpy().any()


@pytest.mark.parametrize("size", [(32, 1024), (1024, 32), (32, 1056), (1056, 32), (32, 780_000)])
def test_a_strip_that_its_shortest_edge_would_make_too_long_is_refused_from_its_header(size):
    height, width = size
    data = encoded(Image.new("1", (width, height)))
    pixels, error = tf.function(lambda data: read_picture(data, shortest_edge=512))(data)
    if max(size) == 1024:
        assert error == b"" and pixels.shape == (*size, 3)
    else:
        assert error.numpy().decode() == (
            f"The picture is {width} x {height} pixels, and a shortest edge of 512 would make its longest over 16384 "
            "pixels: crop it."
        )
        assert pixels.shape == (32, 32, 3)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "JPEG that EXIF turns", "PNG that XMP turns"]),
    st.integers(0, 10_000),
    st.binary(min_size=1, max_size=20),
)
def test_damaged_files_never_raise(format, position, patch):
    data = GOOD[format]
    position %= len(data)
    pixels, error = read(data[:position] + patch + data[position + len(patch) :])
    assert pixels.shape[-1] == 3 and pixels.dtype == tf.uint8
    if error != b"":
        assert not pixels.numpy().any()


def test_test_pictures_are_what_their_names_say():
    assert Image.open(io.BytesIO(GOOD["16-bit grey PNG"])).mode == "I;16"
