"""How pictures lie, and that damage to what says so costs nothing else."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from segformer_tf import SegformerImageProcessor
from segformer_tf.images.opening import open_image
from segformer_tf.images.orientation import orientation, upright

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))


def encoded(kind, **how):
    stream = io.BytesIO()
    PHOTO.save(stream, kind, **how)
    return stream.getvalue()


def packed(key, value):
    texts = PngImagePlugin.PngInfo()
    texts.add_text(key, value, zip=True)
    return {"pnginfo": texts}


def exif(number):
    made = Image.Exif()
    made[0x0112], made[0x010F] = number, "maker"
    return made


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("number", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does_and_only_once(kind, number):
    data = encoded(kind, exif=exif(number))
    found = open_image(data)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))
    assert orientation(found) == 1 and upright(found) is found
    plain = {"do_resize": False, "do_rescale": False, "do_normalize": False, "do_exif_transpose": True}
    np.testing.assert_array_equal(SegformerImageProcessor(**plain)(found).pixel_values[0], np.asarray(found))


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("JPEG", {"exif": b"Exif\0\0no directory", "dpi": (72, 72)}),
        ("JPEG", {"exif": b"Exif\0\0MM", "dpi": (72, 72)}),
        ("PNG", {"exif": b"Exif\0\0no directory"}),
        ("PNG", packed("xmp", 'tiff:Orientation="6"')),
        ("PNG", packed("exif", "no bytes")),
        ("PNG", packed("Raw profile type exif", "\nexif\n1\nno digits")),
    ],
)
def test_a_picture_whose_exif_cannot_be_read_stays_as_it_lies(kind, how):
    assert open_image(encoded(kind, **how)).size == PHOTO.size


def test_a_picture_is_turned_where_its_exif_cannot_be_written_anew():
    block = exif(6).tobytes()
    assert block.count(b"\x01\x0f\x00\x02") == 1
    block = block.replace(b"\x01\x0f\x00\x02", b"\x01\x06\x00\x02")  # a text for a number
    data = encoded("JPEG", exif=block)
    with pytest.raises(Exception, match="required argument is not"):
        ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert open_image(data).size == (30, 40)
