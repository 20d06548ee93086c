"""Every mode and type of picture -> pixels; label maps -> class ids."""

import numpy as np
import pytest
from PIL import Image

from segformer_tf.images.opening import pillow_resize, to_class_ids, to_eight_bits, to_pixels


def pixels(source, channels=3, data_format=None, exif=False):
    return to_pixels(source, channels, data_format, strict=True, exif=exif)


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "HSV"])
def test_every_mode_becomes_rgb_as_pillow_converts_it(mode, photo):
    image = photo.convert(mode)
    result = pixels(image)
    assert result.dtype == np.uint8 and result.shape == (6, 9, 3)
    np.testing.assert_array_equal(result, np.asarray(image.convert("RGB")))


def test_a_palette_with_transparency_gives_its_colours(photo):
    image = photo.quantize(4)
    image.info["transparency"] = bytes([0, 128, 255, 255])
    np.testing.assert_array_equal(pixels(image), np.asarray(image.convert("RGBA"))[..., :3])


def test_alpha_is_dropped_and_not_blended():
    assert pixels(Image.new("RGBA", (2, 2), (10, 20, 30, 0)))[0, 0].tolist() == [10, 20, 30]


def test_one_channel_is_grey(photo):
    np.testing.assert_array_equal(pixels(photo, channels=1)[..., 0], np.asarray(photo.convert("L")))


def test_16_bit_greys_are_scaled_and_not_cut():
    values = np.array([[0, 128, 257], [32768, 65000, 65535]], np.uint16)
    expected = [[0, 0, 1], [128, 253, 255]]
    sources = [Image.fromarray(values), Image.fromarray(values.astype(np.int32)), values, values[..., None]]
    for source in sources:
        result = pixels(source)
        assert result.shape == (2, 3, 3)
        for channel in range(3):
            np.testing.assert_array_equal(result[..., channel], expected)


def test_mode_i_and_f_of_8_bit_values_stay():
    values = np.array([[0, 100], [200, 255]])
    np.testing.assert_array_equal(pixels(Image.fromarray(values.astype(np.int32)))[..., 0], values)
    np.testing.assert_array_equal(
        pixels(Image.fromarray((values + 0.2).clip(0, 255).astype("float32")))[..., 1], values
    )
    np.testing.assert_array_equal(pixels(Image.fromarray((values / 255).astype("float32")))[..., 2], values)
    with pytest.raises(ValueError, match="mode I has values from -1 to 254; expected 0 to 65535"):
        pixels(Image.fromarray(values.astype(np.int32) - np.eye(2, dtype=np.int32)))


def test_exif_rotation_is_honoured_only_if_asked(photo):
    photo.getexif()[0x0112] = 6  # the camera was turned
    assert pixels(photo).shape == (6, 9, 3)
    np.testing.assert_array_equal(pixels(photo, exif=True), np.rot90(np.asarray(photo), -1))


def test_values_that_are_no_pixels_are_named():
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="image has NaN or infinite values"):
            pixels(np.full((2, 2, 3), bad))
    with pytest.raises(ValueError, match="image has dtype <U1; expected integers or floats"):
        pixels(np.full((2, 2, 3), "a"))
    with pytest.raises(ValueError, match="float64 values from -1 to 4; expected whole numbers from 0 to 255"):
        to_eight_bits(np.array([-1.0, 4.0]))
    with pytest.raises(ValueError, match=r"float64 values from 0.5 to 4; expected"):
        to_eight_bits(np.array([0.5, 4.0]))


def test_truth_values_are_0_and_1():
    assert pixels(np.ones((2, 2), bool)).tolist() == [[[1, 1, 1]] * 2] * 2


def test_palette_maps_give_their_indices():
    ids = Image.fromarray(np.array([[3, 0], [255, 1]], np.uint8))
    ids.putpalette(list(range(256)) * 3)
    assert to_class_ids(ids).tolist() == [[3, 0], [255, 1]]
    assert to_class_ids(Image.new("1", (2, 1), 1)).tolist() == [[1, 1]]
    assert to_class_ids(np.array([[[4.0], [5.0]]])).tolist() == [[4, 5]]


def test_maps_that_are_no_class_ids_are_named(photo):
    with pytest.raises(ValueError, match="segmentation map has mode RGB; expected one channel of class ids"):
        to_class_ids(photo)
    with pytest.raises(ValueError, match=r"segmentation map has shape \(2, 3, 4\); expected \(H, W\)"):
        to_class_ids(np.zeros((2, 3, 4), int))
    with pytest.raises(ValueError, match="segmentation map has values that are not whole numbers"):
        to_class_ids(np.array([[0.5]]))


def test_channels_other_than_three_are_resized_by_themselves():
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 4), np.uint8)
    result = pillow_resize(image, (5, 4), 2)
    assert result.shape == (5, 4, 4)
    np.testing.assert_array_equal(result[..., 3], np.asarray(Image.fromarray(image[..., 3]).resize((4, 5), 2)))
