"""Label maps as pictures."""

import numpy as np
import pytest
from PIL import Image

from segformer_tf.images import colorize, label_image, overlay, palette_for

PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
LABELS = np.array([[0, 0, 0, 1], [0, 2, 255, 1]], np.uint8)
NAMES = {0: "road", 1: "tree", 2: "car"}


def test_ids_without_a_colour_are_black():
    colours = colorize(LABELS, PALETTE)
    assert colours.shape == (2, 4, 3) and colours.dtype == np.uint8
    assert colours[0, 3].tolist() == [0, 255, 0] and colours[1, 2].tolist() == [0, 0, 0]


def test_a_label_image_holds_the_ids_and_shows_the_colours(tmp_path):
    label_image(LABELS, PALETTE).save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), LABELS)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colorize(LABELS, PALETTE))


def test_over_256_classes_the_label_image_has_16_bits(tmp_path):
    labels = np.array([[0, 299], [255, 7]])
    label_image(labels, palette_for(300)).save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as image:
        np.testing.assert_array_equal(np.asarray(image), labels)
    with pytest.raises(ValueError, match="labels reach from 0 to 299; expected 0 to 255"):
        label_image(labels, PALETTE)


def test_the_overlay_blends_and_leaves_ignored_pixels():
    image = np.full((2, 4, 3), 100, np.uint8)
    result = np.asarray(overlay(image, LABELS, PALETTE, NAMES, alpha=0.4, legend=False))
    assert result[0, 0].tolist() == [162, 60, 60] and result[1, 2].tolist() == [100, 100, 100]
    np.testing.assert_array_equal(overlay(image, LABELS, PALETTE, alpha=0, legend=False), image)


@pytest.mark.parametrize("count", [1, 11, 255, 256, 300])
@pytest.mark.parametrize("dtype", ["int8", "uint8", ">i2", "int32", "int64"])
def test_the_overlay_is_the_arithmetic_of_its_parts_for_any_ids(dtype, count):
    draw = np.random.default_rng(count)
    labels = draw.integers(-1, min(count + 2, np.iinfo(dtype).max) + 1, (40, 37)) if dtype[0] != "u" else None
    labels = draw.integers(0, 256, (40, 37)).astype(dtype) if labels is None else labels.astype(dtype)
    image = draw.integers(0, 256, (40, 37, 3)).astype(np.uint8)
    palette = draw.integers(0, 256, (count, 3)).astype(np.uint8)
    ids = labels.astype(np.int64)
    known = (ids >= 0) & (ids < count)
    colours = np.where(known[..., None], palette[np.where(known, ids, 0)], 0)
    np.testing.assert_array_equal(colorize(labels, palette), colours)
    for alpha in (0.0, 0.3, 0.5, 1.0):
        expected = np.floor(image * (1 - alpha)) + np.rint(colours * alpha)
        expected[~known | (ids == 0)] = image[~known | (ids == 0)]
        skip = ("class 0",)
        np.testing.assert_array_equal(overlay(image, labels, palette, None, alpha, False, skip), expected)


def test_rims_have_their_classes_full_colours_and_are_as_wide_as_the_picture_asks():
    labels = np.zeros((400, 800), np.uint8)  # rims of 1 pixel on either side
    labels[100:300, 200:600], labels[:, 700:] = 1, 255
    image = np.full((400, 800, 3), 100, np.uint8)
    arguments = image, labels, PALETTE, NAMES, 0.4, False, ("road",)
    without, drawn = (np.asarray(overlay(*arguments, outline=outline)) for outline in (False, True))
    inner = np.zeros(labels.shape, bool)
    inner[101:299, 201:599] = True
    rim = (labels == 1) & ~inner
    assert (drawn[rim] == PALETTE[1]).all() and not (without[rim] == PALETTE[1]).all()
    np.testing.assert_array_equal(drawn[~rim], without[~rim])  # what is not painted has no rim


@pytest.mark.parametrize(("shape", "beside"), [((120, 300), False), ((300, 120), True)])
@pytest.mark.parametrize("count", [3, 150])
def test_the_legend_is_next_to_the_picture_and_covers_nothing(shape, beside, count):
    labels = np.random.default_rng(0).integers(0, count, shape)
    image = np.full((*shape, 3), 100, np.uint8)
    plain = overlay(image, labels, palette_for(count), legend=False)
    result = overlay(image, labels, palette_for(count))
    np.testing.assert_array_equal(np.asarray(result)[: shape[0], : shape[1]], plain)
    assert result.width > shape[1] if beside else result.height > shape[0]
    legend = np.asarray(result)[:, shape[1] :] if beside else np.asarray(result)[shape[0] :]
    found = {tuple(color) for color in np.unique(legend.reshape(-1, 3), axis=0).tolist()}
    assert {tuple(color) for color in palette_for(count).tolist()} <= found


def test_text_grows_with_the_picture():
    labels = np.zeros((1200, 1600), int)
    small = overlay(np.zeros((120, 160, 3), np.uint8), labels[:120, :160], PALETTE, NAMES)
    large = overlay(np.zeros((1200, 1600, 3), np.uint8), labels, PALETTE, NAMES)
    assert large.height - 1200 > 2 * (small.height - 120)


def test_wrong_labels_are_named():
    with pytest.raises(ValueError, match=r"labels have size \(2, 4\); expected the image's, \(5, 4\)"):
        overlay(np.zeros((5, 4, 3), np.uint8), LABELS, PALETTE)
    with pytest.raises(ValueError, match=r"labels are float64 of shape \(2, 4\); expected integers \(H, W\)"):
        colorize(LABELS / 1, PALETTE)
    with pytest.raises(ValueError, match="alpha is 2; expected 0 to 1"):
        overlay(np.zeros((2, 4, 3), np.uint8), LABELS, PALETTE, alpha=2)
