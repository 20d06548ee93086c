"""Masks in the colours of classes, as `compare` takes them; data sets' masks have tests of their own."""

import io

import numpy as np
import pytest
from PIL import Image
from pngs import write_png

from segformer_tf.images.colours import to_ids

COLOURS = np.array([[10, 20, 30], [200, 100, 50], [0, 0, 0]], np.uint8)
KNOWN = {tuple(colour): i for i, colour in enumerate(COLOURS.tolist())}
IDS = np.arange(12).reshape(3, 4) % 3


def png(picture, **how):
    stream = io.BytesIO()
    picture.save(stream, "PNG", **how)
    return stream.getvalue()


def test_colours_are_ids_in_every_way_of_giving_them(tmp_path):
    picture = Image.fromarray(COLOURS[IDS])
    picture.save(tmp_path / "m.png")
    sources = tmp_path / "m.png", str(tmp_path / "m.png"), png(picture), io.BytesIO(png(picture)), picture
    for source in (*sources, COLOURS[IDS]):
        np.testing.assert_array_equal(to_ids(source, KNOWN), IDS)


def test_a_palette_in_another_order_is_read_by_its_colours_and_decoration_is_not():
    picture = Image.fromarray((2 - IDS).astype(np.uint8))
    picture.putpalette(COLOURS[::-1].tobytes())
    np.testing.assert_array_equal(to_ids(png(picture), KNOWN), IDS)
    picture.putpalette(bytes(range(100, 109)))
    np.testing.assert_array_equal(to_ids(png(picture), KNOWN), 2 - IDS)


@pytest.mark.parametrize("unlabelled", [255, -1])
def test_transparent_pixels_are_not_labelled(unlabelled):
    alpha = np.full(IDS.shape, 255, np.uint8)
    alpha[0] = 0
    ids = to_ids(png(Image.fromarray(np.dstack([COLOURS[IDS], alpha]))), KNOWN, unlabelled)
    assert (ids[0] == unlabelled).all() and (ids[1:] == IDS[1:]).all()


def test_greys_in_three_channels_are_ids_and_other_colours_are_named():
    grey = np.repeat(IDS[..., None], 3, 2).astype(np.uint8)
    np.testing.assert_array_equal(to_ids(png(Image.fromarray(grey)), KNOWN), IDS)
    grey[0, 0] = 1, 2, 3
    with pytest.raises(
        ValueError, match=r"colours that no class of the model has, .*\(1, 2, 3\) \(1 pixel\).*convert-masks"
    ):
        to_ids(png(Image.fromarray(grey)), KNOWN, -1)


def test_what_holds_no_colours_is_read_as_ids_or_refused(tmp_path):
    np.testing.assert_array_equal(to_ids(IDS, KNOWN), IDS)
    np.testing.assert_array_equal(to_ids(png(Image.fromarray(IDS.astype(np.uint8))), KNOWN), IDS)
    stream = io.BytesIO()
    Image.fromarray(COLOURS[IDS]).save(stream, "JPEG")
    for source in (stream.getvalue(), Image.open(stream)):
        with pytest.raises(ValueError, match="lossy"):
            to_ids(source, KNOWN)
    with pytest.raises(ValueError, match="has mode RGB"):  # Pillow keeps the high bytes of 16 bits
        to_ids(write_png(tmp_path / "m.png", np.repeat(IDS[..., None], 3, 2), 16, 2), KNOWN)
