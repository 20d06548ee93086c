"""Where the channels are."""

import numpy as np
import pytest

from segformer_tf.images.scaling import resolve_data_format, to_channels_last


def convert(shape, channels=3, data_format=None, strict=True):
    image = np.arange(np.prod(shape)).reshape(shape)
    return image, to_channels_last(image, channels, data_format, strict)


def test_the_axis_of_the_expected_count_is_the_channel_axis():
    for shape in [(4, 5, 3), (1, 5, 3), (5, 1, 3)]:
        image, result = convert(shape)
        np.testing.assert_array_equal(result, image)
    for shape in [(3, 4, 5), (3, 4, 1), (3, 1, 1)]:
        image, result = convert(shape)
        np.testing.assert_array_equal(result, image.transpose(1, 2, 0))


def test_grey_is_repeated_for_three_channels():
    image, result = convert((4, 5))
    np.testing.assert_array_equal(result, np.stack([image] * 3, axis=-1))
    assert convert((1, 4, 5))[1].shape == (4, 5, 3)
    assert convert((4, 5), channels=1)[1].shape == (4, 5, 1)


def test_two_possible_axes_warn_and_the_first_is_taken():
    with pytest.warns(UserWarning, match="ambiguous; the first is taken"):
        image, result = convert((3, 5, 3))
    np.testing.assert_array_equal(result, image.transpose(1, 2, 0))
    image, result = convert((3, 5, 3), data_format="channels_last")
    np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("shape", [(4, 5, 2), (4, 6, 5), (4, 6, 7)])
def test_other_counts_are_refused(shape):
    with pytest.raises(ValueError, match=rf"image has shape \({shape[0]}, .*expected 3 channels as first or last axis"):
        convert(shape)
    with pytest.raises(ValueError, match=rf"image has {shape[2]} channels .*; expected 3"):
        convert(shape, data_format="channels_last")
    assert convert(shape, data_format="channels_last", strict=False)[1].shape == shape


def test_other_ranks_and_empty_images_are_refused():
    for shape in [(3,), (2, 3, 4, 5), (0, 4, 3)]:
        with pytest.raises(ValueError, match=r"expected \(H, W\), \(H, W, C\) or \(C, H, W\) with no side of 0"):
            convert(shape)


def test_formats_have_transformers_short_names_too():
    assert resolve_data_format("first") == "channels_first"
    assert resolve_data_format(None) == "channels_last"
